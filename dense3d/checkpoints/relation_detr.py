"""Official Relation-DETR and DINO++ checkpoints -> :class:`RelationDETR` of ``dense3d.detection2d``.

Both ResNets lie in timm's names, which are torchvision's. Official class heads have one row a COCO category
id (91 rows); :func:`convert` keeps them, :func:`convert_coco` keeps the rows of the 80 classes, in the
order of their ids, so that the weights serve configs whose labels are 0 ... 79.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.resnet import convert as convert_resnet
from dense3d.checkpoints.swin import convert_torchvision as convert_swin
from dense3d.errors import CheckpointError

# Ids of COCO's 80 categories among 1 ... 90.
UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_CATEGORY_IDS = tuple(i for i in range(1, 91) if i not in UNUSED_IDS)

_CLASS_ROWS = re.compile(
    r"decoder\.class_head\.\d+\.(weight|bias)|(query|hybrid)_head\.class_head\.(weight|bias)"
    r"|denoising\.label_encoder\.weight"
)

_RULES = (
    (r"transformer\.level_embeds", "level_embeds"),
    (r"transformer\.(enc_output(?:_norm)?\..+)", r"selection.\1"),
    (r"transformer\.encoder\.(layers|memory_fusion)\.(.+)", r"encoder.\1.\2"),
    (r"transformer\.decoder\.position_relation_embedding\.(.+)", r"decoder.relation.\1"),
    (
        r"transformer\.decoder\.(layers|ref_point_head|query_scale|class_head|bbox_head|norm)\.(.+)",
        r"decoder.\1.\2",
    ),
    (r"transformer\.tgt_embed\.weight", "query_head.content.weight"),
    (r"transformer\.encoder_(class|bbox)_head\.(.+)", r"query_head.\1_head.\2"),
    (r"transformer\.hybrid_tgt_embed\.weight", "hybrid_head.content.weight"),
    (r"transformer\.hybrid_(class|bbox)_head\.(.+)", r"hybrid_head.\1_head.\2"),
    (r"denoising_generator\.(label_encoder\.weight)", r"denoising.\1"),
    (r"neck\.convs\.(\d+)\.0\.(.+)", r"neck.convs.\1.conv.\2"),
    (r"neck\.convs\.(\d+)\.1\.(.+)", r"neck.convs.\1.gn.\2"),
)
_rename = Renaming("Relation-DETR", rules=_RULES, dropped=("_classes_",), required=False)

_BACKBONE = "backbone."


def convert(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename an official state dict.

    Raises:
        CheckpointError: it is no such checkpoint; the message lists the names that do not fit.
    """
    if not any(name.startswith("transformer.decoder.") for name in official):
        raise CheckpointError(
            "this is no official Relation-DETR checkpoint: it has no name like transformer.decoder.*"
        )
    backbone = {n.removeprefix(_BACKBONE): v for n, v in official.items() if n.startswith(_BACKBONE)}
    rest = {name: value for name, value in official.items() if not name.startswith(_BACKBONE)}
    converted = {f"{_BACKBONE}{name}": value for name, value in _convert_backbone(backbone).items()}
    return converted | _separate_extra_levels(_rename(rest))


def _convert_backbone(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A ResNet keeps its names inside a ``TimmBackbone``; Swin and FocalNet have converters of their own."""
    if any("features." in name for name in official):
        return convert_swin(official)
    if any("focal_layers" in name for name in official):
        from dense3d.checkpoints.focalnet import convert as convert_focalnet

        return convert_focalnet(official)
    return {f"body.{name}": value for name, value in convert_resnet(official).items()}


def convert_coco(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """:func:`convert`, with the class rows of COCO's 80 categories only.

    Raises:
        CheckpointError: it is no such checkpoint, or it has not one row a COCO category id.
    """
    converted = convert(official)
    ids = torch.tensor(COCO_CATEGORY_IDS)
    for name in filter(_CLASS_ROWS.fullmatch, converted):
        if len(converted[name]) != 91:
            raise CheckpointError(
                f"{name} has {len(converted[name])} rows, not the 91 of COCO's category ids: "
                "convert it as relation-detr, which keeps all rows"
            )
        converted[name] = converted[name][ids]
    return converted


def _separate_extra_levels(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Further levels come from 3x3 convolutions, which mmdet's ``ChannelMapper`` keeps apart."""
    weights = re.compile(r"neck\.convs\.(\d+)\.conv\.weight")
    found = {int(match[1]): state[match[0]] for match in map(weights.fullmatch, state) if match}
    lateral = sum(weight.shape[-1] == 1 for weight in found.values())

    def name_of(name: str) -> str:
        match = re.match(r"neck\.convs\.(\d+)\.", name)
        if match is None or int(match[1]) < lateral:
            return name
        return f"neck.extra_convs.{int(match[1]) - lateral}.{name[match.end() :]}"

    return {name_of(name): tensor for name, tensor in state.items()}
