"""DINOv3 -> ``VisionTransformer``: the released layout, timm's (with and without biases) and Hugging Face's.

Siméoni et al., "DINOv3", 2025 (facebookresearch/dinov3). The stored mask of the qkv bias is multiplied in, so
that keys have no bias; ``local_cls_norm``, which only the training on local crops uses, is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    NORM_RULE,
    StateDict,
    from_transformers,
    rename,
    unwrapped,
)

_REQUIRED = (
    (r"(cls_token)", r"\1"),
    (r"(patch_embed\.proj\.(?:weight|bias))", r"\1"),
    BLOCK_RULES[0],
    (r"(blocks\.\d+\.attn\.(?:qkv|proj)\.(?:weight|bias))", r"\1"),
    NORM_RULE,
)
_RULES = (
    (r"(?:storage_tokens|reg_token|register_tokens)", "registers"),
    (r"mask_token", "mask_token"),
    (r"rope_embed\.periods", "rope.periods"),
    (r"(blocks\.\d+\.attn\.[qv]_bias)", r"\1"),
    (r"(blocks\.\d+\.ls[12]\.gamma)", r"\1"),
    (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    (r"(blocks\.\d+\.mlp\.(?:fc[12]|w[123])\.(?:weight|bias))", r"\1"),
    # timm's names of the gate, the value and the output of SwiGLU
    (r"(blocks\.\d+\.mlp)\.fc1_g\.(weight|bias)", r"\1.w1.\2"),
    (r"(blocks\.\d+\.mlp)\.fc1_x\.(weight|bias)", r"\1.w2.\2"),
    (r"(cls_norm\.(?:weight|bias))", r"\1"),
)
_DROPPED = (r"local_cls_norm\..*", r"head\..*")
_WIDE = 4096  # channels of the 7B model, whose heads have 128, not 64, and no biases


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = _from_timm(unwrapped(from_transformers(official)))
    state = rename("dinov3", _without_key_bias(official), rules=_RULES, dropped=_DROPPED, required=_REQUIRED)
    return _complete(state)


def _without_key_bias(official: Mapping[str, Tensor]) -> StateDict:
    """``qkv.bias`` times its mask, as ``q_bias`` and ``v_bias`` where the mask excludes the keys."""
    state: StateDict = {}
    for name, value in official.items():
        prefix, _, last = name.rpartition("qkv.")
        mask = official.get(f"{prefix}qkv.bias_mask")
        if last == "bias_mask":
            continue
        if last != "bias" or mask is None:
            state[name] = value
            continue
        query, key, value = torch.nan_to_num(value * mask).chunk(3)
        if key.any():
            state[name] = torch.cat([query, key, value])
        else:
            state |= {f"{prefix}q_bias": query.clone(), f"{prefix}v_bias": value.clone()}
    return state


def _from_timm(state: StateDict) -> StateDict:
    """timm calls the output of a gate ``fc2``; its models without ``qkvb`` in the name drop the biases."""
    if "reg_token" not in state:
        return state
    if any(".mlp.fc1_g." in name for name in state):
        state = {name.replace("mlp.fc2", "mlp.w3"): value for name, value in state.items()}
    dim = state["reg_token"].shape[-1]
    if dim >= _WIDE or any(name.endswith("attn.q_bias") for name in state):
        return state
    attentions = [name.removesuffix("qkv.weight") for name in state if name.endswith("attn.qkv.weight")]
    return state | {f"{attn}{part}_bias": torch.zeros(dim) for attn in attentions for part in ("q", "v")}


def _complete(state: StateDict) -> StateDict:
    """What timm and Hugging Face leave out because it follows from the architecture."""
    dim = state["cls_token"].shape[-1]
    if "rope.periods" not in state:
        count = (128 if dim >= _WIDE else 64) // 4
        periods = 100.0 ** (torch.arange(count, dtype=torch.float32) / count)
        state = state | {"rope.periods": periods}
    return state | {"mask_token": state.get("mask_token", torch.zeros(1, dim)).view(1, dim)}
