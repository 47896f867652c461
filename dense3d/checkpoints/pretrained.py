"""Weights of a backbone from a file of any layout that its converters know."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from dense3d.checkpoints.transformers_hierarchical import MARK
from dense3d.errors import CheckpointError

# of a training file with both, the averaged weights are those with the published accuracy
_WRAPPERS = ("state_dict_ema", "state_dict", "model", "model_ema", "model_state_dict")
_PREFIXES = ("module.", "backbone.", "encoder.")


def read_backbone(
    path: str | os.PathLike, converters: Sequence[str], own_names: Collection[str]
) -> dict[str, Tensor]:
    """Read a local checkpoint and convert it to our names.

    Args:
        path: file; a detector's checkpoint gives its part ``backbone.*``.
        converters: names in :data:`dense3d.checkpoints.CONVERTERS`, tried in turn.
        own_names: names of our state dict, by which a file of ours is told.

    Raises:
        CheckpointError: the file cannot be read, or no converter knows all its names; the message has what
            the converter that came furthest said.
    """
    from dense3d.engine.checkpoint import load_checkpoint

    state = unwrapped(load_checkpoint(path))
    if all(name in own_names or name.startswith("norm") for name in state):
        return state
    converted, complaints = best_conversion(state, converters, own_names)
    if converted is not None:
        return converted[1]
    if 2 * sum(name in own_names for name in state) > len(state):
        return state  # ours, but of another size: loading will list what differs
    if not complaints:
        raise CheckpointError(f"{path} is no file of this model, of which no other layout is known")
    raise CheckpointError(
        f"{path} fits no known layout ({', '.join(converters)}): {min(complaints, key=len)}"
    )


def best_conversion(
    state: Mapping[str, Tensor], converters: Sequence[str], own_names: Collection[str]
) -> tuple[tuple[str, dict[str, Tensor]] | None, list[str]]:
    """The converter whose result has most names of a model, since layouts of one family share names.

    Args:
        state: names and tensors of an official file.
        converters: names in :data:`dense3d.checkpoints.CONVERTERS`; of equals the first is taken.
        own_names: names of the model's state dict.

    Returns:
        The converter and what it gives, or None; and what was wrong with the others.
    """
    from dense3d.checkpoints import convert

    found, complaints, most = None, [], 0
    for system in converters:
        try:
            converted = convert(system, state)
        except CheckpointError as error:
            complaints.append(str(error))
            continue
        known = sum(name in own_names for name in converted)
        if known > most:
            found, most = (system, converted), known
        elif not known:
            complaints.append(f"read as {system}, none of its names is in this model")
    return found, complaints


def unwrapped(checkpoint: Mapping) -> dict[str, Tensor]:
    """The named tensors in a checkpoint, without the containers and prefixes that code bases add.

    Example:
        >>> import torch
        >>> list(unwrapped({"model": {"module.backbone.stem": torch.ones(1), "module.head": torch.ones(1)}}))
        ['stem']
    """
    for key in _WRAPPERS:
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if any(MARK in name for name in state):
        return state  # of Hugging Face's transformers, where "encoder." is not all of the network
    for prefix in _PREFIXES:
        if any(name.startswith(prefix) for name in state):
            state = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    return state
