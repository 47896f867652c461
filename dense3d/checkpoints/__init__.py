"""Official checkpoints to ours: one converter a system, imported when it is used.

A converter is a :class:`dense3d.checkpoints.renaming.Renaming`, or a function of a state dict, in a module
that :data:`CONVERTERS` names. Every name of the official file is accounted for; none is passed over.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dense3d.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

# system -> "module:converter"
CONVERTERS: dict[str, str] = {
    "activator": "dense3d.checkpoints.activator:convert",
    "beit": "dense3d.checkpoints.vit:convert_beit",
    "beit-seg": "dense3d.checkpoints.vit:convert_beit_pyramid",
    "ccnext": "dense3d.checkpoints.ccnext:convert",
    "ccnext-single": "dense3d.checkpoints.ccnext:convert_single",
    "co-detr": "dense3d.checkpoints.co_detr:convert",
    "croco": "dense3d.checkpoints.croco:convert",
    "coswin": "dense3d.checkpoints.coswin:convert",
    "crossformer": "dense3d.checkpoints.crossformer:convert",
    "croco-encoder": "dense3d.checkpoints.croco:convert_encoder",
    "croco-flow": "dense3d.checkpoints.croco_downstream:convert",
    "croco-monocular": "dense3d.checkpoints.croco_downstream:convert_monocular",
    "croco-stereo": "dense3d.checkpoints.croco_downstream:convert",
    "cvt": "dense3d.checkpoints.cvt:convert",
    "deit": "dense3d.checkpoints.vit:convert_deit",
    "augreg": "dense3d.checkpoints.vit:convert_augreg",
    "depth-anything-v2": "dense3d.checkpoints.monodino_detr:convert_depth_anything",
    "dino": "dense3d.checkpoints.vit:convert_dino",
    "dinov2": "dense3d.checkpoints.dinov2:convert",
    "dinov2-14to16": "dense3d.checkpoints.dinov2:convert_14to16",
    "dinov3": "dense3d.checkpoints.dinov3:convert",
    "duoformer": "dense3d.checkpoints.duoformer:convert",
    "eco-m2f": "dense3d.checkpoints.eco_m2f:convert",
    "eco-m2f-cityscapes": "dense3d.checkpoints.eco_m2f:convert_cityscapes",
    "ia-red2": "dense3d.checkpoints.ia_red2:convert",
    "mae": "dense3d.checkpoints.vit:convert_mae",
    "mae-pretrain": "dense3d.checkpoints.vit:convert_mae_pretrain",
    "metaformer": "dense3d.checkpoints.metaformer:convert",
    "monodetr": "dense3d.checkpoints.monodino_detr:convert",
    "monodetr-car": "dense3d.checkpoints.monodino_detr:convert_car",
    "monodino-detr": "dense3d.checkpoints.monodino_detr:convert",
    "monodino-detr-car": "dense3d.checkpoints.monodino_detr:convert_car",
    "msm": "dense3d.checkpoints.msm:convert",
    "msm-backbone": "dense3d.checkpoints.msm:convert_backbone",
    "nerf-mae": "dense3d.checkpoints.nerf_mae:convert",
    "nerf-mae-encoder": "dense3d.checkpoints.nerf_mae:convert_encoder",
    "nerf-mae-semantics": "dense3d.checkpoints.nerf_mae:convert_semantics",
    "nerf-mae-super-resolution": "dense3d.checkpoints.nerf_mae:convert_super_resolution",
    "nerf-rpn": "dense3d.checkpoints.nerf_rpn:convert",
    "nerf-rpn-anchor-head": "dense3d.checkpoints.nerf_rpn:convert_anchor_head",
    "nerf-rpn-backbone": "dense3d.checkpoints.nerf_rpn:convert_backbone_alone",
    "pimae": "dense3d.checkpoints.pimae:convert",
    "poolformer": "dense3d.checkpoints.metaformer:convert_poolformer",
    "point-mae": "dense3d.checkpoints.point_mae:convert_pretrain",
    "point-mae-classify": "dense3d.checkpoints.point_mae:convert_classify",
    "point-mae-partseg": "dense3d.checkpoints.point_mae:convert_partseg",
    "soft": "dense3d.checkpoints.soft:convert",
    "threedetr": "dense3d.checkpoints.threedetr:convert",
    "vidt": "dense3d.checkpoints.vidt:convert",
    "vidt-coco80": "dense3d.checkpoints.vidt:convert_coco",
    "vit-baseline": "dense3d.checkpoints.vit_comer:convert_baseline",
    "vit-resnas": "dense3d.checkpoints.vit_resnas:convert",
    "vit-comer": "dense3d.checkpoints.vit_comer:convert",
    "votenet": "dense3d.checkpoints.votenet:convert",
    "relation-detr": "dense3d.checkpoints.relation_detr:convert",
    "relation-detr-coco80": "dense3d.checkpoints.relation_detr:convert_coco",
    "kmax-deeplab": "dense3d.checkpoints.kmax_deeplab:convert",
    "kmax-deeplab-ade20k": "dense3d.checkpoints.kmax_deeplab:convert_ade20k",
    "kmax-deeplab-cityscapes": "dense3d.checkpoints.kmax_deeplab:convert_cityscapes",
    "mask2former": "dense3d.checkpoints.mask2former:convert",
    "mask2former-ade20k": "dense3d.checkpoints.mask2former:convert_ade20k",
    "mask2former-cityscapes": "dense3d.checkpoints.mask2former:convert_cityscapes",
    "mask2former-semantic": "dense3d.checkpoints.mask2former:convert_semantic",
    "resnet": "dense3d.checkpoints.resnet:convert",
    "convnext": "dense3d.checkpoints.convnext:convert",
    "dinov3-convnext": "dense3d.checkpoints.convnext:convert_dinov3",
    "ppma": "dense3d.checkpoints.ppma:convert",
    "rmt": "dense3d.checkpoints.rmt:convert",
    "focalnet": "dense3d.checkpoints.focalnet:convert",
    "sgformer": "dense3d.checkpoints.sgformer:convert",
    "hornet": "dense3d.checkpoints.hornet:convert",
    "hyena": "dense3d.checkpoints.hyena:convert",
    "spectformer": "dense3d.checkpoints.spectformer:convert",
    "spectformer-plain": "dense3d.checkpoints.spectformer_plain:convert",
    "svt": "dense3d.checkpoints.spectformer:convert",
    "swin": "dense3d.checkpoints.swin:convert",
    "swin-mmdet": "dense3d.checkpoints.swin:convert_mmdet",
    "swin-timm": "dense3d.checkpoints.swin:convert_timm",
    "crossvit": "dense3d.checkpoints.crossvit:convert",
    "resformer": "dense3d.checkpoints.resformer:convert",
    "vir": "dense3d.checkpoints.vir:convert",
    "convit": "dense3d.checkpoints.convit:convert",
    "t2t-vit": "dense3d.checkpoints.t2t_vit:convert",
    "tnt": "dense3d.checkpoints.tnt:convert",
    "pyramid-tnt": "dense3d.checkpoints.tnt:convert_pyramid",
    "swin-torchvision": "dense3d.checkpoints.swin:convert_torchvision",
    "uniformer": "dense3d.checkpoints.uniformer:convert",
}

# system -> "module:function" that reads from a whole official file what a config has to say of its model
SETTINGS: dict[str, str] = {
    "croco": "dense3d.checkpoints.croco_settings:settings_of",
    "croco-flow": "dense3d.checkpoints.croco_downstream:settings_of",
    "croco-stereo": "dense3d.checkpoints.croco_downstream:settings_of",
}


def convert(system: str, official_state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename and reshape an official state dict into ours.

    Args:
        system: a key of :data:`CONVERTERS`.
        official_state_dict: names and tensors, as the official code saves them.

    Returns:
        A new state dict for strict loading.

    Raises:
        ConfigError: no converter for ``system``.
        CheckpointError: names are missing or unexpected; the message lists them.
    """
    if system not in CONVERTERS:
        raise ConfigError(
            f"no converter for the system {system!r}{did_you_mean(system, CONVERTERS)} "
            f"(known: {', '.join(sorted(CONVERTERS))})"
        )
    return _function(CONVERTERS[system])(official_state_dict)


def convert_head(system: str, official_state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The classifier of an official state dict, for ``class_head`` of the backbone: ``convert_head`` of the
    module that has the system's converter.

    Args:
        system: a key of :data:`CONVERTERS`.
        official_state_dict: names and tensors, as the official code saves them.

    Returns:
        A new state dict; empty where the file, or the system, has no classifier.
    """
    module = importlib.import_module(CONVERTERS[system].partition(":")[0])
    return module.convert_head(official_state_dict) if hasattr(module, "convert_head") else {}


def settings(system: str, official_checkpoint: Mapping) -> dict[str, Any]:
    """Arguments for the config of our model that an official file knows of; empty where it tells none.

    Args:
        system: a key of :data:`CONVERTERS`.
        official_checkpoint: the whole file, not its weights alone.

    Raises:
        CheckpointError: what the file says cannot be read, or is not what its weights are.
    """
    return _function(SETTINGS[system])(official_checkpoint) if system in SETTINGS else {}


def _function(place: str) -> Callable:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
