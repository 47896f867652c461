"""Strict loading of weights, with a list of differences that a person can read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from dense3d.errors import CheckpointError

_SHAPES = re.compile(
    r"size mismatch for (\S+): copying a param with shape (?:torch\.Size\()?(\[.*?\])\)? from checkpoint, "
    r"the shape in current model is (?:torch\.Size\()?(\[.*?\])\)?\.?"
)
_GROUPS_SHOWN = 8


@dataclass
class Differences:
    """How a checkpoint and a model differ.

    Attributes:
        missing: names that the model has and the checkpoint lacks.
        unexpected: names that the checkpoint has and the model lacks.
        shapes: ``name -> (shape in the checkpoint, shape in the model)``.
        other: what torch says beyond these.
        matched: number of the checkpoint's entries that fit.
        total: number of entries of the model.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[str, str]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    matched: int = 0
    total: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes or self.other)

    def __str__(self) -> str:
        """One line per group of names; long lists end in a count."""
        lines = _group("missing from the checkpoint", self.missing)
        lines += _group("in the checkpoint only", self.unexpected)
        shapes = [
            f"{name}: {theirs} in the checkpoint, {ours} in the model"
            for name, (theirs, ours) in self.shapes.items()
        ]
        lines += _listing("of another shape", shapes) + _listing("other", self.other)
        return "\n".join(lines)


def _group(title: str, names: list[str]) -> list[str]:
    """Names summed up by their first parts: ``backbone.layer1.*: 12 (conv1.weight, ...)``."""
    if not names:
        return []
    depth = 2 if len(Counter(n.split(".")[0] for n in names)) <= 2 else 1
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[".".join(name.split(".")[:-1][:depth])].append(name)
    items = []
    for prefix, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(members) == 1 or not prefix:
            items += members
        else:
            items.append(f"{prefix}.*: {len(members)}, such as {members[0]}")
    return _listing(title, items, len(names))


def _listing(title: str, items: list[str], count: int | None = None) -> list[str]:
    if not items:
        return []
    shown = [f"    {item}" for item in items[:_GROUPS_SHOWN]]
    more = len(items) - _GROUPS_SHOWN
    return [
        f"  {title} ({count or len(items)}):",
        *shown,
        *([f"    ... and {more} more"] if more > 0 else []),
    ]


def load_into(
    model: nn.Module,
    state_dict: Mapping[str, torch.Tensor],
    strict: bool = True,
    source: object = "the checkpoint",
    warn: Callable[[str], None] | None = None,
) -> Differences:
    """Load weights into a model and account for every name.

    Args:
        model: receives the weights; of a parallel or test-time-augmentation wrapper, the wrapped model does.
        state_dict: names and tensors.
        strict: whether a difference is an error. Counters of batch norm may be missing either way.
        source: named in messages.
        warn: told of differences when ``strict`` is off.

    Returns:
        The differences; falsy when there are none.

    Raises:
        CheckpointError: ``strict`` and there are differences (the model is then partly loaded), or nothing
            in the checkpoint fits the model at all.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> bool(load_into(layer, torch.nn.Linear(2, 1).state_dict()))
        False
        >>> load_into(layer, {"weight": torch.zeros(1, 2)}, strict=False).missing
        ['bias']
    """
    model = _unwrap(model)
    differences = _load(model, state_dict)
    if not differences:
        return differences
    name = type(model).__name__
    if differences.matched == 0:
        raise CheckpointError(
            f"{source} belongs to another model than {name}: "
            f"none of its {len(state_dict)} entries fits\n{differences}"
        )
    if strict:
        raise CheckpointError(
            f"{source} does not fit the model {name}: {differences.matched} of its {len(state_dict)} entries "
            f"fit the model's {differences.total}; use the config it was trained with, or, "
            f"for a new training from what fits, load_from with strict_load=False\n{differences}"
        )
    if warn is not None:
        warn(f"{source} fits the model {name} in part, the rest keeps its initial values:\n{differences}")
    return differences


def _unwrap(model: nn.Module) -> nn.Module:
    from mmengine.model import BaseTTAModel, is_model_wrapper

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _load(model: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> Differences:
    """torch's own loading, with what its hooks rename or add taken into account."""
    keys: list = []
    handle = model.register_load_state_dict_post_hook(lambda module, found: keys.append(found))
    errors = ""
    try:
        model.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        errors = str(error)
    finally:
        handle.remove()
    if not keys:
        raise CheckpointError(f"the weights could not be loaded: {errors}")
    shapes = {name: (theirs, ours) for name, theirs, ours in _SHAPES.findall(errors)}
    other = [line.strip() for line in errors.splitlines()[1:] if not _SHAPES.search(line)]
    missing = [name for name in keys[-1].missing_keys if not name.endswith("num_batches_tracked")]
    total = len(model.state_dict())
    matched = len(state_dict) - len(keys[-1].unexpected_keys) - len(shapes)
    return Differences(missing, list(keys[-1].unexpected_keys), shapes, _nonempty(other), matched, total)


def _nonempty(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line]
