"""Class counts of heads: left out they follow from the data, written they are compared with it.

``num_classes`` (and what goes with it: ``num_things_classes``, ``num_stuff_classes``, ``thing_classes``,
``class_names``) may be left out of any head, or be ``"data"`` where an inherited config has a number.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from mmengine.registry import MODELS
from torch import nn

from dense3d.engine.data_classes import DataClasses
from dense3d.errors import ConfigError

FROM_DATA = "data"
PANOPTIC = ("num_things_classes", "num_stuff_classes")
KEYS = ("num_classes", *PANOPTIC, "thing_classes", "class_names")
# Parts whose number of classes is their own affair: proposals know one, backbones those of ImageNet.
OWN_AFFAIR = {
    "rpn_head",
    "backbone",
    "neck",
    "reid",
    "data_preprocessor",
    "language_model",
    "text_encoder",
    "image_encoder",
}
# Of these the number is no count of the data's classes: stuff beside boxes, edges, words, depth, identities.
UNRELATED = {
    "FusedSemanticHead",
    "STDCHead",
    "GroundingDINOHead",
    "ATSSVLFusionHead",
    "SideAdapterCLIPHead",
    "VPDDepthHead",
    "LinearReIDHead",
    "CLRHead",
    "RPNHead",
}


def fill_classes(model_cfg: dict, tell: Callable[[], DataClasses | None]) -> dict:
    """A copy of a model config in which the class counts that its heads lack are those of the data.

    Weights of classes in a head's loss (``class_weight``: a number for each class, and one for the
    background) follow where all classes have the same.

    Args:
        model_cfg: config of a model; one that lacks nothing is returned as it is.
        tell: gives the data's classes, or None; called only if a count is lacking.

    Raises:
        ConfigError: a count is needed and nothing tells it.
    """
    if not any(_open(*part) for part in _typed(model_cfg)):
        return model_cfg
    data, model_cfg = tell(), copy.deepcopy(model_cfg)
    for node, kind, path in _typed(model_cfg):
        values = _values(node, kind, path, data)
        node.update(values)
        number = values.get("num_classes") or sum(values.get(key, 0) for key in PANOPTIC)
        if number:
            _adapt_weights(node, kind, number)
    return model_cfg


def faults_of(model: nn.Module, data: DataClasses) -> list[str]:
    """A sentence for each count of a built model that is not the data's.

    Args:
        model: without wrappers.
        data: the data's classes.
    """
    wrong: dict[tuple, list[str]] = {}
    for path, module in model.named_modules():
        known = {key: found for key in KEYS if (found := getattr(module, key, None)) is not None}
        for key, value in _expected(type(module), path, data, known).items() if known else ():
            if key in known and not _agrees(module, key, known[key], value):
                wrong.setdefault((key, _shown(known[key]), _shown(value)), []).append(
                    f"model{path and '.'}{path} ({type(module).__name__})"
                )
    if not wrong:
        return [fault for path, module in model.named_modules() for fault in _weight_faults(module, path)]
    return [
        f"{places[0]} has {key}={found}, but {data}: write {key}={value} "
        f"{'there' if len(places) == 1 else f'there and in {len(places) - 1} more parts'}, "
        f"leave it out or write {key}={FROM_DATA!r} to take it from the data"
        for (key, found, value), places in wrong.items()
    ]


def _weight_faults(head: nn.Module, path: str) -> Iterator[str]:
    """Of losses with a weight for each class, and maybe one for the background, that are too few or many."""
    number = getattr(head, "num_classes", None)
    for name, loss in head.named_children() if isinstance(number, int) else ():
        weights = getattr(loss, "class_weight", None)
        if isinstance(weights, (list, tuple)) and len(weights) not in (number, number + 1):
            place = f"model{path and '.'}{path}.{name}.class_weight"
            yield f"{place} has {len(weights)} weights for {number} classes: give one each, or leave it out"


def _expected(kind: type, path: str, data: DataClasses, known: Container[str]) -> dict[str, Any]:
    """What the counts of a part must be for these data; empty if they are its own affair."""
    homes = [base.__module__ for base in kind.__mro__]
    names = {base.__name__ for base in kind.__mro__}
    if set(path.split(".")) & OWN_AFFAIR or names & UNRELATED or any(".backbones." in home for home in homes):
        return {}
    if kind.__module__.startswith(("dense3d.segmentation.", "dense3d.detection3d.", "mmseg.")):
        return {"num_classes": len(data.names), "thing_classes": data.thing_labels, "class_names": data.names}
    if "num_things_classes" in known:  # num_classes is the sum of the two
        return {"num_things_classes": len(data.things), "num_stuff_classes": len(data.stuff)}
    if any(home.startswith(("mmdet.", "dense3d.")) for home in homes):
        return {"num_classes": len(data.things)}  # boxes, or masks, of things
    return {"num_classes": len(data.names)}


def _agrees(module: nn.Module, key: str, found: Any, value: Any) -> bool:
    if key == "thing_classes":
        return set(found) == set(value)
    if key == "class_names":
        return tuple(found) == tuple(value)
    if getattr(module, "class_agnostic", False):
        return True
    # One output of a segmentor stands for two classes, or for one and what is none.
    binary = getattr(module, "out_channels", None) == 1 and {found, value} <= {1, 2}
    return binary or found == value or not isinstance(found, int)


def _open(node: Mapping, kind: type, path: str) -> list[str]:
    """Counts that a part of the config knows but does not give."""
    arguments = _arguments(kind)
    open_keys = [key for key in KEYS if node.get(key) == FROM_DATA]
    if node.get("class_agnostic"):
        return open_keys
    absent = [key for key in KEYS if key in arguments and node.get(key) is None]
    if "class_names" in arguments and "num_classes" in absent:
        absent.remove("num_classes")  # the number of names
    return open_keys + absent


def _values(node: Mapping, kind: type, path: str, data: DataClasses | None) -> dict[str, Any]:
    """What to write for the open counts of a part."""
    values = {}
    for key in _open(node, kind, path):
        parameter = _arguments(kind).get(key)
        expected = _expected(kind, path, data, _arguments(kind)) if data is not None else {}
        if key in expected:
            value = expected[key]
            values[key] = sorted(value) if isinstance(value, frozenset) else value
        elif data is None and (node.get(key) == FROM_DATA or parameter.default is parameter.empty):
            raise ConfigError(
                f"model{path and '.'}{path}: {key} is left out, and no data set tells the classes: write "
                f"{key}, or give the data set metainfo=dict(classes=...)"
            )
        elif node.get(key) == FROM_DATA:
            raise ConfigError(
                f"model{path and '.'}{path}: {key} does not follow from the data: write a number"
            )
    return values


def _typed(node: Any, path: str = "", scope: str | None = None) -> Iterator[tuple[dict[str, Any], type, str]]:
    """Every part of a model config with its class and the place where it will be in the model."""
    if isinstance(node, dict):
        scope = node.get("_scope_") or scope
        kind = node.get("type")
        if isinstance(kind, str):
            with MODELS.switch_scope_and_registry(scope) as registry:
                kind = registry.get(kind)
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            yield node, kind, path
        for key, value in node.items():
            yield from _typed(value, f"{path}.{key}" if path else key, scope)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _typed(value, f"{path}.{index}", scope)


def _arguments(kind: type) -> dict[str, inspect.Parameter]:
    """Parameters of a constructor and, through ``**kwargs``, of those of its bases."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        init = vars(base).get("__init__")
        if init is None or base in (nn.Module, object):
            continue
        parameters = inspect.signature(init).parameters
        for name, parameter in parameters.items():
            found.setdefault(name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return found


def _adapt_weights(head: dict, kind: type, number: int) -> None:
    """Lists with a weight for the background behind those of the classes, as mmdet's heads have them."""
    if not any(base.__module__.startswith("mmdet.models.") for base in kind.__mro__):
        return
    for loss in (value for value in head.values() if isinstance(value, dict)):
        weights = loss.get("class_weight")
        if isinstance(weights, (list, tuple)) and len(set(weights[:-1])) == 1:
            loss["class_weight"] = [weights[0]] * number + [weights[-1]]


def _shown(value: Any) -> str:
    """Short enough for a sentence."""
    text = repr(sorted(value) if isinstance(value, (set, frozenset)) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
