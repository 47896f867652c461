"""Converted checkpoints into a vision transformer that leaves some of them out or has other windows."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from torch import Tensor

from dense3d.errors import CheckpointError
from dense3d.layers.relative_position import resize_relative_table

if TYPE_CHECKING:
    from dense3d.backbones.vit import VisionTransformer

# parts that the usage of a network may switch off -> names of their weights
_OPTIONAL = {
    "cls_token": ("cls_token",),
    "registers": ("registers",),
    "mask_token": ("mask_token",),
    "norm": ("norm.weight", "norm.bias"),
    "cls_norm": ("cls_norm.weight", "cls_norm.bias"),
}


# where detectors and segmentors, and pre-training, keep their transformer
_PREFIXES = ("backbone.vit.", "backbone.", "encoder.")


def load_pretrained(vit: VisionTransformer, path: str | os.PathLike) -> None:
    """Load an official checkpoint, one that ``dense3d convert`` wrote, or backbone or encoder of one of ours.

    Raises:
        CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
    """
    from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of

    loaded = load_checkpoint(path)
    if "state_dict" not in loaded and isinstance(loaded.get("model"), dict):  # of official training
        loaded = {"state_dict": loaded["model"]}
    weights = weights_of(loaded, path)
    if "network.enc_blocks.0.norm1.weight" in weights:  # of CroCo, pre-trained or with a head
        from dense3d.checkpoints.croco import convert_encoder

        weights = convert_encoder(weights)
    prefix = next((p for p in _PREFIXES if any(n.startswith(p) for n in weights)), "")
    weights = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    load_into(vit, _fitting(vit, weights), source=str(path))


def _fitting(vit: VisionTransformer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as they are if names and shapes are ours, else by the converter that makes them so."""
    from dense3d.checkpoints import convert

    own = {name: value.shape for name, value in vit.state_dict().items()}
    fitted = fit(vit, weights)
    if {name: value.shape for name, value in fitted.items()} == own:
        return fitted
    for system in vit.converters:
        try:
            converted = fit(vit, convert(system, weights))
        except CheckpointError:
            continue
        if {name: value.shape for name, value in converted.items()} == own:
            return converted
    return fitted  # loading lists what differs


def fit(vit: VisionTransformer, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights less the parts that ``vit`` was built without, relative positions resized to its windows.

    A layer scale that the checkpoint lacks is one, as in networks that were trained without.
    """
    absent = {name for part, names in _OPTIONAL.items() if getattr(vit, part) is None for name in names}
    fitted = {name: value for name, value in weights.items() if name not in absent}
    for name, own in vit.state_dict().items():
        if name.endswith("relative_bias.table") and name in fitted:
            fitted[name] = _fit_table(fitted[name], own)
        elif name.endswith(("ls1.gamma", "ls2.gamma")) and name not in fitted:
            fitted[name] = own.new_ones(own.shape)
    return fitted


def _fit_table(table: Tensor, own: Tensor) -> Tensor:
    """Drop the rows of prefix tokens that ``own`` lacks and resize between square windows."""
    (source, prefix), (target, own_prefix) = _window(len(table)), _window(len(own))
    if prefix and not own_prefix:
        table = table[:-3]
    if source is None or target is None or table.shape[1] != own.shape[1]:
        return table
    return resize_relative_table(table, (source, source), (target, target))


def _window(rows: int) -> tuple[int | None, bool]:
    """Side of the window of a table and whether it has rows of prefix tokens."""
    for prefix in (False, True):
        side = math.isqrt(rows - 3 * prefix)
        if side * side == rows - 3 * prefix and side % 2:
            return (side + 1) // 2, prefix
    return None, False
