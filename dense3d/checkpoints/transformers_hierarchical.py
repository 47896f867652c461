"""Swin and ConvNeXt as Hugging Face's transformers names them -> the names of the official files."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

MARK = "embeddings.patch_embeddings"  # in every file of transformers, in no official one
_MODELS = r"^(?:swin|swinv2|convnext|convnextv2|backbone|model)\."

_SWIN_BLOCK = r"encoder\.layers\.(\d+)\.blocks\.(\d+)\."
_SWIN = (
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"embeddings\.norm\.(weight|bias)", r"patch_embed.norm.\1"),
    (r"embeddings\.position_embeddings", r"absolute_pos_embed"),
    (r"encoder\.layers\.(\d+)\.downsample\.(.+)", r"layers.\1.downsample.\2"),
    (_SWIN_BLOCK + r"layernorm_before\.(.+)", r"layers.\1.blocks.\2.norm1.\3"),
    (_SWIN_BLOCK + r"layernorm_after\.(.+)", r"layers.\1.blocks.\2.norm2.\3"),
    (_SWIN_BLOCK + r"attention\.output\.dense\.(.+)", r"layers.\1.blocks.\2.attn.proj.\3"),
    (_SWIN_BLOCK + r"intermediate\.dense\.(.+)", r"layers.\1.blocks.\2.mlp.fc1.\3"),
    (_SWIN_BLOCK + r"output\.dense\.(.+)", r"layers.\1.blocks.\2.mlp.fc2.\3"),
    (
        _SWIN_BLOCK + r"attention\.self\.continuous_position_bias_mlp\.(.+)",
        r"layers.\1.blocks.\2.attn.cpb_mlp.\3",
    ),
    (_SWIN_BLOCK + r"attention\.self\.(.+)", r"layers.\1.blocks.\2.attn.\3"),
)
_CONVNEXT_BLOCK = r"encoder\.stages\.(\d+)\.layers\.(\d+)\."
_CONVNEXT = (
    (r"embeddings\.patch_embeddings\.(weight|bias)", r"downsample_layers.0.0.\1"),
    (r"embeddings\.layernorm\.(weight|bias)", r"downsample_layers.0.1.\1"),
    (r"encoder\.stages\.(\d+)\.downsampling_layer\.(.+)", r"downsample_layers.\1.\2"),
    (_CONVNEXT_BLOCK + r"layernorm\.(.+)", r"stages.\1.\2.norm.\3"),
    (_CONVNEXT_BLOCK + r"layer_scale_parameter", r"stages.\1.\2.gamma"),
    (_CONVNEXT_BLOCK + r"grn\.weight", r"stages.\1.\2.grn.gamma"),
    (_CONVNEXT_BLOCK + r"grn\.bias", r"stages.\1.\2.grn.beta"),
    (_CONVNEXT_BLOCK + r"(.+)", r"stages.\1.\2.\3"),
)
_DINOV3_MODELS = r"^(?:dinov3_convnext|backbone|model)\."
_DINOV3_BLOCK = r"stages\.(\d+)\.layers\.(\d+)\."
_DINOV3 = (
    (r"stages\.(\d+)\.downsample_layers\.(.+)", r"downsample_layers.\1.\2"),
    (_DINOV3_BLOCK + r"depthwise_conv\.(.+)", r"stages.\1.\2.dwconv.\3"),
    (_DINOV3_BLOCK + r"layer_norm\.(.+)", r"stages.\1.\2.norm.\3"),
    (_DINOV3_BLOCK + r"pointwise_conv([12])\.(.+)", r"stages.\1.\2.pwconv\3.\4"),
    (_DINOV3_BLOCK + r"gamma", r"stages.\1.\2.gamma"),
    (r"layer_norm\.(weight|bias)", r"norm.\1"),
)
_SHARED = (
    (r"layernorm\.(weight|bias)", r"norm.\1"),
    (r"classifier\.(weight|bias)", r"head.\1"),
    (r"hidden_states_norms\.stage(\d)\.(weight|bias)", None),  # counted from 1, ours from 0
)


def swin_from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names for a Swin of transformers; any other state dict comes back as it is.

    Example:
        >>> swin_from_transformers({"swin.embeddings.patch_embeddings.projection.bias": torch.ones(1)}).keys()
        dict_keys(['patch_embed.proj.bias'])
    """
    if not any(MARK in name for name in state):
        return dict(state)
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        official = _rename(re.sub(_MODELS, "", name), (*_SWIN, *_SHARED))
        match = re.fullmatch(r"(.+\.attn)\.(query|key|value)\.(weight|bias)", official)
        if match is None:
            named[official] = value
        elif match[2] == "query":
            named |= _joined(state, name, match[1], match[3])
    return named


def convnext_from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names for a ConvNeXt of transformers, V1 or V2; any other comes back as it is.

    Example:
        >>> convnext_from_transformers({"convnext.embeddings.patch_embeddings.bias": torch.ones(1)}).keys()
        dict_keys(['downsample_layers.0.0.bias'])
    """
    if not any(MARK in name for name in state):
        return dict(state)
    return {_rename(re.sub(_MODELS, "", n), (*_CONVNEXT, *_SHARED)): value for n, value in state.items()}


def dinov3_from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names for DINOv3's ConvNeXt of transformers; any other comes back as it is.

    Example:
        >>> dinov3_from_transformers({"stages.0.layers.1.depthwise_conv.bias": torch.ones(1)}).keys()
        dict_keys(['stages.0.1.dwconv.bias'])
    """
    named = {re.sub(_DINOV3_MODELS, "", name): value for name, value in state.items()}
    if not any(re.match(r"stages\.\d+\.(layers|downsample_layers)\.", name) for name in named):
        return dict(state)
    return {_rename(name, _DINOV3): value for name, value in named.items()}


def _rename(name: str, rules: tuple[tuple[str, str | None], ...]) -> str:
    for pattern, official in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(official) if official else f"norm{int(match[1]) - 1}.{match[2]}"
    return name


def _joined(state: Mapping[str, Tensor], query: str, attention: str, last: str) -> dict[str, Tensor]:
    """Query, key and value as one; V2's keys have no bias, which its official files store apart."""
    parts = [state.get(query.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
    if parts[1] is None and last == "bias":
        return {f"{attention}.q_bias": parts[0], f"{attention}.v_bias": parts[2]}
    return {f"{attention}.qkv.{last}": torch.cat(parts)}
