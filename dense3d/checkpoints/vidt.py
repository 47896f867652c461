"""Official ViDT and ViDT+ checkpoints -> :class:`ViDT` of ``dense3d.detection2d``, those without a neck too.

Official class heads and token labels have one row a COCO category id (91); :func:`convert` keeps them, for
``num_classes=91, token_classes=91`` and labels that are ids. :func:`convert_coco` keeps the rows of the 80
categories, in the order of their ids, and of token labels the first row, which says "any object".

Left out is what the official network never uses: output norms of the body, the second norm and the expansion
of every merging, level embeddings, and the smoothing and first unit of the coarsest level of the fusion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.relation_detr import COCO_CATEGORY_IDS
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.swin import convert as convert_swin
from dense3d.errors import CheckpointError

_LAYER = r"transformer\.decoder\.layers\.(\d+)\."
_FUSION = r"fusion\.multi_scaler\."
_rename = Renaming(
    "ViDT",
    rules=(
        (rf"{_LAYER}((?:self_attn|cross_attn|linear[12])\..+)", r"decoder.layers.\1.\2"),
        (rf"{_LAYER}norm1\.(.+)", r"decoder.layers.\1.cross_attn_norm.\2"),
        (rf"{_LAYER}norm2\.(.+)", r"decoder.layers.\1.self_attn_norm.\2"),
        (rf"{_LAYER}norm3\.(.+)", r"decoder.layers.\1.feedforward_norm.\2"),
        (r"transformer\.(reference_points\..+)", r"decoder.\1"),
        (r"transformer\.((?:enc_output|enc_output_norm|token_embed)\..+)", r"token_head.\1"),
        (r"bbox_embed\.(\d+)\.(.+)", r"decoder.bbox_embed.\1.\2"),
        (r"((?:class|iou)_embed\.\d+\..+)", r"\1"),
        (r"vector_embed\.0\.(.+)", r"vector_embed.\1"),
        (r"((?:tgt_proj|query_pos_proj)\..+)", r"\1"),
        (r"input_proj\.(\d+\..+)", r"neck.\1"),
        (rf"{_FUSION}layer_(\d+)_rn\.(.+)", r"neck.lateral.\1.0.\2"),
        (rf"{_FUSION}p_norm_(\d+)\.(.+)", r"neck.lateral.\1.1.\2"),
        (rf"{_FUSION}refinenet_(\d+)\.(smoothing\..+)", r"neck.levels.\1.\2"),
        (rf"{_FUSION}refinenet_(\d+)\.resConfUnit([12])\.(.+)", r"neck.levels.\1.unit\2.\3"),
        (r"((?:class|bbox)_embed\.layers\..+)", r"\1"),  # without a neck
    ),
    # The decoder's box heads and the further heads of mask vectors are other names of the same tensors.
    dropped=(r"transformer\.level_embed", r"transformer\.decoder\.bbox_embed\..+", r"vector_embed\.[1-9].*"),
    required=False,
)
_BACKBONE = "backbone."
_HEADS = re.compile(r"((?:class|iou|decoder\.bbox)_embed)\.(\d+)\.(.+)")
_CLASS_ROWS = re.compile(r"(class_embed\.(\d+|layers\.2)|token_head\.token_embed)\.(weight|bias)")


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict.

    Raises:
        CheckpointError: it is no such checkpoint; the message lists the names that do not fit.
    """
    if f"{_BACKBONE}det_token" not in official:
        raise CheckpointError("this is no official ViDT checkpoint: it has no name backbone.det_token")
    body = {n.removeprefix(_BACKBONE): v for n, v in official.items() if n.startswith(_BACKBONE)}
    rest = {name: value for name, value in official.items() if not name.startswith(_BACKBONE)}
    converted = {f"{_BACKBONE}{name}": value for name, value in _convert_body(body).items()}
    return converted | _one_of_equal_heads(_without_unused_fusion(_rename(rest)))


def convert_coco(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """:func:`convert`, with the class rows of COCO's 80 categories only.

    Raises:
        CheckpointError: it is no such checkpoint, or it has not one row a COCO category id.
    """
    converted = convert(official)
    for name in filter(_CLASS_ROWS.fullmatch, converted):
        rows = len(converted[name])
        without_neck = ".layers." in name  # where a last row says "no object"
        if rows != 91 + without_neck:
            raise CheckpointError(
                f"{name} has {rows} rows, not the {91 + without_neck} of COCO's category ids: convert it as "
                "vidt, which keeps all rows"
            )
        kept = [*COCO_CATEGORY_IDS, *([91] if without_neck else [])]
        kept = [0, *kept] if name.startswith("token_head.") else kept
        converted[name] = converted[name][torch.tensor(kept)]
    return converted


def _convert_body(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """The Swin by its own converter, and what ViDT adds."""
    stages = [int(match[1]) for match in map(re.compile(r"layers\.(\d+)\.").match, official) if match]
    own: dict[str, Tensor] = {}
    swin: dict[str, Tensor] = {}
    for name, value in official.items():
        position = re.fullmatch(r"layers\.(\d+)\.blocks\.(\d+)\.det_pos_linear\.(.+)", name)
        merging = re.fullmatch(
            rf"layers\.{max(stages, default=0)}\.downsample\.((?:norm|reduction)\..+)", name
        )
        if re.fullmatch(r"norm\d\..+|layers\.\d+\.downsample\.(expansion|norm2)\..+", name):
            continue
        if position:
            own[f"det_pos_linear.{position[1]}.{position[2]}.{position[3]}"] = value
        elif merging:
            own[f"last_merging.{merging[1]}"] = value
        elif name in ("det_token", "det_pos_embed"):
            own[name] = value
        else:
            swin[name] = value
    return convert_swin(swin) | own


def _without_unused_fusion(state: dict[str, Tensor]) -> dict[str, Tensor]:
    coarsest = max(
        (int(m[1]) for m in map(re.compile(r"neck\.levels\.(\d+)\.").match, state) if m), default=0
    )
    unused = (f"neck.levels.{coarsest}.smoothing.", f"neck.levels.{coarsest}.unit1.")
    return {name: value for name, value in state.items() if not name.startswith(unused)}


def _one_of_equal_heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without box refinement all layers share one head, which the official file repeats."""
    heads: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, value in state.items():
        if match := _HEADS.fullmatch(name):
            heads.setdefault(match[1], {}).setdefault(match[2], {})[match[3]] = value
    boxes = list(heads.get("decoder.bbox_embed", {}).values())
    if len(boxes) < 2 or any(not torch.equal(h[n], boxes[0][n]) for h in boxes[1:] for n in h):
        return state
    return {n: v for n, v in state.items() if not (m := _HEADS.fullmatch(n)) or m[2] == "0"}
