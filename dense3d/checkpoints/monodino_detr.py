"""Official MonoDETR and MonoDINO-DETR checkpoints, and Depth Anything V2 -> ``dense3d.detection3d``.

Left out is what the official models hold twice or never use. Official classes are Pedestrian, Car and
Cyclist, and a spare one in MonoDINO-DETR; :func:`convert` keeps all rows of the class heads,
:func:`convert_car` that of Car alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from dense3d.checkpoints.dinov2 import convert as convert_dinov2
from dense3d.checkpoints.dpt import DPT_FUSION_RULES, DPT_UNUSED
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.resnet import convert as convert_resnet
from dense3d.errors import CheckpointError

StateDict = dict[str, torch.Tensor]
CAR = 1

_TRANSFORMER = r"depthaware_transformer"
_LAYER = rf"{_TRANSFORMER}\.decoder\.layers\.(\d+)"
_PREDICTOR = r"depth_predictor(?:_2)?"
_RULES = (
    (rf"{_TRANSFORMER}\.level_embed", "encoder.level_embeds"),
    (rf"{_TRANSFORMER}\.encoder\.layers\.(.+)", r"encoder.layers.\1"),
    (rf"{_TRANSFORMER}\.reference_points\.(.+)", r"queries.reference.\1"),
    (rf"{_TRANSFORMER}\.decoder\.query_scale\.(.+)", r"queries.position_scale.\1"),
    (rf"{_TRANSFORMER}\.decoder\.ref_point_head\.(.+)", r"queries.position_head.\1"),
    (rf"{_LAYER}\.(cross_attn|linear[12]|norm_depth)\.(.+)", r"decoder.layers.\1.\2.\3"),
    (rf"{_LAYER}\.cross_attn_depth\.(.+)", r"decoder.layers.\1.depth_attn.\2"),
    (rf"{_LAYER}\.norm1\.(.+)", r"decoder.layers.\1.norm_cross.\2"),
    (rf"{_LAYER}\.norm2\.(.+)", r"decoder.layers.\1.norm_self.\2"),
    (rf"{_LAYER}\.norm3\.(.+)", r"decoder.layers.\1.norm_out.\2"),
    (rf"{_LAYER}\.self_attn\.(.+)", r"decoder.layers.\1.self_attn.attention.\2"),
    (rf"{_LAYER}\.sa_qcontent_proj\.(.+)", r"decoder.layers.\1.self_attn.query_content.\2"),
    (rf"{_LAYER}\.sa_qpos_proj\.(.+)", r"decoder.layers.\1.self_attn.query_position.\2"),
    (rf"{_LAYER}\.sa_kcontent_proj\.(.+)", r"decoder.layers.\1.self_attn.key_content.\2"),
    (rf"{_LAYER}\.sa_kpos_proj\.(.+)", r"decoder.layers.\1.self_attn.key_position.\2"),
    (rf"{_PREDICTOR}\.depth_bin_values", "depth_predictor.bin_values"),
    (rf"{_PREDICTOR}\.depth_input_proj\.(.+)", r"depth_predictor.source.convolution.\1"),
    (rf"{_PREDICTOR}\.downsample\.(.+)", r"depth_predictor.source.fine.\1"),
    (rf"{_PREDICTOR}\.proj\.(.+)", r"depth_predictor.source.middle.\1"),
    (rf"{_PREDICTOR}\.upsample\.(.+)", r"depth_predictor.source.coarse.\1"),
    (rf"{_PREDICTOR}\.depth_head\.(.+)", r"depth_predictor.head.\1"),
    (rf"{_PREDICTOR}\.depth_classifier\.(.+)", r"depth_predictor.classifier.\1"),
    (rf"{_PREDICTOR}\.depth_encoder\.layers\.(.+)", r"depth_predictor.encoder.\1"),
    (rf"{_PREDICTOR}\.depth_pos_embed\.weight", "depth_predictor.metres.weight"),
    (r"query_embed\.weight", "queries.embedding.weight"),
    (r"tgt_embed\.weight", "queries.content.weight"),
    (r"refpoint_embed\.weight", "queries.anchors.weight"),
    (r"class_embed\.(\d+)\.(.+)", r"heads.\1.classes.\2"),
    (r"bbox_embed\.(.+)", r"decoder.box_heads.\1"),
    (r"dim_embed_3d\.(\d+)\.(.+)", r"heads.\1.size.\2"),
    (r"angle_embed\.(\d+)\.(.+)", r"heads.\1.heading.\2"),
    (r"depth_embed\.(\d+)\.(.+)", r"heads.\1.depth.\2"),
    (r"input_proj\.(.+)", r"neck.levels.\1"),
)
_UNUSED = (
    rf"{_LAYER}\.sa_v_proj\..+",
    rf"{_TRANSFORMER}\.decoder\.(bbox_embed|dim_embed|query_scale_bbox)\..+",
    r"label_enc\.weight",
    r"backbone\.backbone\..+",
)
# Point queries have the heads of anchors, but never run them.
_UNUSED_BY_POINTS = (*_UNUSED, rf"{_TRANSFORMER}\.decoder\.(query_scale|ref_point_head)\..+")

_rename_dpt = Renaming(
    "Depth Anything V2",
    rules=(
        (r"projects\.(.+)", r"projections.\1"),
        (r"resize_layers\.(.+)", r"resizers.\1"),
        *((rf"scratch\.layer{n}_rn\.weight", f"laterals.{n - 1}.weight") for n in (1, 2, 3, 4)),
        *DPT_FUSION_RULES,
        (r"scratch\.output_conv1\.(.+)", r"neck.\1"),
        (r"scratch\.output_conv2\.(.+)", r"output.\1"),
    ),
    dropped=DPT_UNUSED,
)


def convert(official: Mapping[str, torch.Tensor]) -> StateDict:
    """Rename an official state dict.

    Raises:
        CheckpointError: it is no such checkpoint; the message lists the names that do not fit.
    """
    if "depthaware_transformer.level_embed" not in official:
        raise CheckpointError(
            "this is no official MonoDETR or MonoDINO-DETR checkpoint: it has no "
            "depthaware_transformer.level_embed"
        )
    backbone, rest = _split(official, "backbone.0.")
    dropped = _UNUSED_BY_POINTS if "query_embed.weight" in rest else _UNUSED
    converted = Renaming("MonoDETR", _RULES, dropped, required=False)(rest)
    if any(name.startswith("body.") for name in backbone):
        body = {name.removeprefix("body."): value for name, value in backbone.items()}
        converted = _as_channel_mapper(converted)
        return converted | {f"backbone.body.{name}": value for name, value in convert_resnet(body).items()}
    vit, dpt = _split(backbone, "backbone.")
    return converted | _depth_anything(vit, _split(dpt, "dpt_head.")[0])


def convert_car(official: Mapping[str, torch.Tensor]) -> StateDict:
    """:func:`convert`, with the class rows of Car only.

    Raises:
        CheckpointError: it is no such checkpoint, or it has fewer than the official classes.
    """
    converted = convert(official)
    for name in [name for name in converted if re.fullmatch(r"heads\.\d+\.classes\.(weight|bias)", name)]:
        if len(converted[name]) < 3:
            raise CheckpointError(
                f"{name} has {len(converted[name])} rows, not those of Pedestrian, Car and Cyclist: "
                "convert without -car"
            )
        converted[name] = converted[name][CAR : CAR + 1].clone()
    return converted


def convert_depth_anything(official: Mapping[str, torch.Tensor]) -> StateDict:
    """The relative-depth release of Depth Anything V2 -> ``backbone.*`` and ``depth_head.*`` of MonoDINODETR.

    Raises:
        CheckpointError: it is no such checkpoint; the message lists the names that do not fit.
    """
    vit, rest = _split(official, "pretrained.")
    dpt, unknown = _split(rest, "depth_head.")
    if not vit or not dpt or unknown:
        raise CheckpointError(
            "this is no official Depth Anything V2 checkpoint: it has not the parts pretrained.* and "
            f"depth_head.* alone, but {', '.join(sorted({name.split('.')[0] for name in official})[:10])}"
        )
    return _depth_anything(vit, dpt)


def _depth_anything(vit: StateDict, dpt: StateDict) -> StateDict:
    converted = {f"backbone.{name}": value for name, value in convert_dinov2(vit).items()}
    return converted | {f"depth_head.{name}": value for name, value in _rename_dpt(dpt).items()}


def _split(state: Mapping[str, torch.Tensor], prefix: str) -> tuple[StateDict, StateDict]:
    """What stands under ``prefix``, without it, and the rest."""
    inside = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    return inside, {n: v for n, v in state.items() if not n.startswith(prefix)}


def _as_channel_mapper(state: StateDict) -> StateDict:
    """Levels of 1x1 convolutions, then of 3x3 ones, as mmdet's ``ChannelMapper`` names them."""
    kernels = {name: value.shape[-1] for name, value in state.items() if value.ndim == 4}
    lateral = sum(name.startswith("neck.levels.") and side == 1 for name, side in kernels.items())

    def name_of(name: str) -> str:
        match = re.fullmatch(r"neck\.levels\.(\d+)\.([01])\.(.+)", name)
        if match is None:
            return name
        level, part = int(match[1]), ("conv", "gn")[int(match[2])]
        place = f"convs.{level}" if level < lateral else f"extra_convs.{level - lateral}"
        return f"neck.{place}.{part}.{match[3]}"

    return {name_of(name): value for name, value in state.items()}
