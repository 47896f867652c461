"""DINOv2 -> ``VisionTransformer``: hub and training files, timm's and Hugging Face's layouts.

Oquab et al., "DINOv2", 2023 (facebookresearch/dinov2). Chunked blocks are flattened, the fused gate of SwiGLU
is split and the position of the class token is added to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    EMBEDDING_RULES,
    NORM_RULE,
    StateDict,
    fold_prefix_positions,
    from_transformers,
    rename,
    split_fused_gate,
    unwrapped,
)

_RULES = (
    (r"(blocks\.\d+\.ls[12]\.gamma)", r"\1"),
    (r"(blocks\.\d+\.mlp\.w(?:12|[123])\.(?:weight|bias))", r"\1"),
    (r"(mask_token)", r"\1"),
    (r"(?:register_tokens|reg_token)", "registers"),
    BLOCK_RULES[2],
)


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    flat = {_flatten(name): value for name, value in unwrapped(from_transformers(official)).items()}
    required = (*EMBEDDING_RULES, *BLOCK_RULES[:2], NORM_RULE)
    state = rename("dinov2", _from_timm(flat), rules=_RULES, required=required)
    return fold_prefix_positions(split_fused_gate(state), "dinov2")


def convert_14to16(official: Mapping[str, Tensor]) -> StateDict:
    """As :func:`convert`, with the patch kernel resized from 14 to 16 pixels (ViT-Adapter, ViT-CoMer).

    For ``arch=dict(name="dinov2_vits14", patch_size=16, pretrain_size=592)``: the 37 x 37 table stays.
    """
    state = convert(official)
    kernel = state["patch_embed.proj.weight"]
    kernel = F.interpolate(kernel.float(), size=(16, 16), mode="bilinear", align_corners=False).to(
        kernel.dtype
    )
    return state | {"patch_embed.proj.weight": kernel}


def convert_head(official: Mapping[str, Tensor]) -> StateDict:
    """The classifier of any of the layouts, of which most have a norm alone: ``norm`` and ``head``."""
    return norm_and_linear(unwrapped(from_transformers(official)))


def _flatten(name: str) -> str:
    """``blocks.<chunk>.<block>.*`` of the training code, whose second number counts all blocks."""
    return re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)


def _from_timm(state: StateDict) -> StateDict:
    """timm packs the gate of SwiGLU into ``fc1`` and has no mask token."""
    first, second = state.get("blocks.0.mlp.fc1.weight"), state.get("blocks.0.mlp.fc2.weight")
    if first is not None and second is not None and first.shape[0] == 2 * second.shape[1]:
        state = {n.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): v for n, v in state.items()}
    if "mask_token" not in state and "cls_token" in state:
        state = state | {"mask_token": torch.zeros_like(state["cls_token"][0])}
    return state
