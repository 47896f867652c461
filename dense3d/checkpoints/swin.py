"""Swin checkpoints of four layouts -> :class:`dense3d.backbones.Swin`.

* ``swin``: Microsoft's classification and dense checkpoints (V1 and V2), whose names ours follow, and
  Hugging Face's;
* ``swin-torchvision``: torchvision's, also inside Relation-DETR;
* ``swin-timm``: timm's, where the merging stands at the start of the next stage;
* ``swin-mmdet``: mmdet's own, where merging orders its inputs as ``unfold`` does.

Classifiers, masks, position indices and coordinate tables are left out: the first have no place in a
backbone, the others follow from the window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.transformers_hierarchical import swin_from_transformers

_ATTENTION = r"attn\.(?:relative_position_bias_table|logit_scale|(?:qkv|proj|cpb_mlp\.[02])\.(?:weight|bias))"
_BLOCK = rf"(norm[12]\.(?:weight|bias)|{_ATTENTION})"
_STEM = r"(patch_embed\.(?:proj|norm)\.(?:weight|bias)|absolute_pos_embed)"
_MERGING = r"((?:norm|reduction)\.(?:weight|bias))"
_DERIVED = (r".*\.(relative_position_index|relative_coords_table)", r".*attn_mask")
_CLASSIFIER = (r"norm\.(weight|bias)", r"head\..*")

_official = Renaming(
    "Swin",
    rules=(
        (_STEM, r"\1"),
        (rf"layers\.(\d+)\.blocks\.(\d+)\.{_BLOCK}", r"layers.\1.blocks.\2.\3"),
        (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.(.+)", r"layers.\1.blocks.\2.mlp.0.\3"),
        (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.(.+)", r"layers.\1.blocks.\2.mlp.3.\3"),
        (rf"layers\.(\d+)\.downsample\.{_MERGING}", r"layers.\1.downsample.\2"),
        (r"(norm\d\.(?:weight|bias))", r"\1"),
    ),
    dropped=(*_DERIVED, *_CLASSIFIER),
    required=False,
)

_torchvision = Renaming(
    "torchvision Swin",
    rules=(
        (r"features\.0\.0\.(.+)", r"patch_embed.proj.\1"),
        (r"features\.0\.2\.(.+)", r"patch_embed.norm.\1"),
        (r"layers\.(\d+)\.(\d+)\.mlp\.([03]\..+)", r"layers.\1.blocks.\2.mlp.\3"),
        (rf"layers\.(\d+)\.(\d+)\.{_BLOCK}", r"layers.\1.blocks.\2.\3"),
        (rf"downsample\.(\d+)\.{_MERGING}", r"layers.\1.downsample.\2"),
        (r"(norm\d\.(?:weight|bias))", r"\1"),
    ),
    dropped=(*_DERIVED, *_CLASSIFIER),
    required=False,
)

_mmdet = Renaming(
    "mmdet Swin",
    rules=(
        (r"patch_embed\.projection\.(.+)", r"patch_embed.proj.\1"),
        (_STEM, r"\1"),
        (
            r"stages\.(\d+)\.blocks\.(\d+)\.attn\.w_msa\.(relative_position_bias_table|(?:qkv|proj)\..+)",
            r"layers.\1.blocks.\2.attn.\3",
        ),
        (r"stages\.(\d+)\.blocks\.(\d+)\.(norm[12]\..+)", r"layers.\1.blocks.\2.\3"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.0\.0\.(.+)", r"layers.\1.blocks.\2.mlp.0.\3"),
        (r"stages\.(\d+)\.blocks\.(\d+)\.ffn\.layers\.1\.(.+)", r"layers.\1.blocks.\2.mlp.3.\3"),
        (rf"stages\.(\d+)\.downsample\.{_MERGING}", r"layers.\1.downsample.\2"),
        (r"(norm\d\.(?:weight|bias))", r"\1"),
    ),
    dropped=_DERIVED,
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Microsoft's layout, or that of Hugging Face's transformers, V1 or V2.

    Raises:
        CheckpointError: a name is not Swin's.
    """
    return _official(_join_biases(swin_from_transformers(official)))


def convert_torchvision(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's layout; a leading ``0.`` (Relation-DETR's features) and ``1.`` (its norms) are known.

    Raises:
        CheckpointError: a name is not Swin's.
    """
    named = {
        re.sub(r"^(0\.(?=features\.)|1\.(?=norm\d))", "", name): value for name, value in official.items()
    }
    return _torchvision({_by_stage(name): value for name, value in named.items()})


def convert_timm(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's layout, whole networks or ``features_only`` ones (``layers_0``), V1 or V2.

    Raises:
        CheckpointError: a name is not Swin's.
    """
    named = {}
    for name, value in official.items():
        name = re.sub(r"^layers_(\d)", r"layers.\1", name)
        start = re.match(r"layers\.(\d+)\.downsample\.", name)
        if start:
            name = f"layers.{int(start[1]) - 1}.downsample.{name[start.end() :]}"
        named[name] = value
    return convert(named)


def convert_mmdet(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """mmdet's own layout.

    Raises:
        CheckpointError: a name is not Swin's.
    """
    converted = _mmdet(official)
    return {n: _from_unfold(v) if ".downsample." in n else v for n, v in converted.items()}


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of any of the layouts: ``norm`` and ``head``."""
    return norm_and_linear(swin_from_transformers(official))


def _from_unfold(merging: Tensor) -> Tensor:
    """Reorder the last axis, 4C inputs of a patch merging.

    ``unfold`` runs through the channels first and, within one, through the pixels (0, 0), (0, 1), (1, 0),
    (1, 1); Swin runs through the pixels (0, 0), (1, 0), (0, 1), (1, 1) first and then through the channels.
    """
    pixels = merging.unflatten(-1, (-1, 4))[..., [0, 2, 1, 3]]  # (..., C, 4)
    return pixels.transpose(-1, -2).flatten(-2).contiguous()


def _by_stage(name: str) -> str:
    """torchvision counts stages and mergings together: ``features.1``, ``features.2``, ``features.3`` ..."""
    match = re.match(r"features\.(\d+)\.(.*)", name)
    if match is None or match[1] == "0":
        return name
    number = int(match[1])
    if number % 2:
        return f"layers.{(number - 1) // 2}.{match[2]}"
    return f"downsample.{number // 2 - 1}.{match[2]}"


def _join_biases(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """V2 stores the biases of queries and values; that of the keys is zero."""
    joined = dict(official)
    for name, query in official.items():
        stem, _, last = name.rpartition(".")
        if last == "q_bias" and f"{stem}.v_bias" in official:
            value = joined.pop(f"{stem}.v_bias")
            del joined[name]
            joined[f"{stem}.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    return joined
