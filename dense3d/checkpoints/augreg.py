"""AugReg (google-research/vision_transformer) as flax saves it -> ``VisionTransformer``.

Steiner et al., "How to train your ViT?", TMLR 2022. Names have slashes, projections a head axis, kernels the
input first. The files that timm made of these go through ``deit``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.vit_layout import HEADS, StateDict, fold_prefix_positions, rename

_BLOCK = r"Transformer/encoderblock_(\d+)/"
_ATTENTION = _BLOCK + r"MultiHeadDotProductAttention_\d+/"
_REQUIRED = (
    (r"cls", "cls_token"),
    (r"Transformer/posembed_input/pos_embedding", "pos_embed"),
    (r"embedding/(weight|bias)", r"patch_embed.proj.\1"),
    (_BLOCK + r"LayerNorm_0/(weight|bias)", r"blocks.\1.norm1.\2"),
    (_BLOCK + r"LayerNorm_2/(weight|bias)", r"blocks.\1.norm2.\2"),
    (_BLOCK + r"MlpBlock_\d+/Dense_0/(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (_BLOCK + r"MlpBlock_\d+/Dense_1/(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (_ATTENTION + r"qkv/(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (_ATTENTION + r"out/(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"Transformer/encoder_norm/(weight|bias)", r"norm.\1"),
)


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = {re.sub(r"^opt/target/", "", name): value for name, value in official.items()}
    state = _joined({_spelling(name): _as_torch(name, value) for name, value in official.items()})
    dropped = (*HEADS, r"(head|pre_logits)/.*")
    return fold_prefix_positions(rename("augreg", state, dropped=dropped, required=_REQUIRED), "augreg")


def _spelling(name: str) -> str:
    return re.sub(r"/(kernel|scale)$", "/weight", name)


def _as_torch(name: str, value: Tensor) -> Tensor:
    """Heads flattened and axes in torch's order."""
    if "MultiHeadDotProductAttention" in name:
        if name.endswith("out/kernel"):
            return value.flatten(0, 1).t().contiguous()  # (M, d, D) -> (D, M d)
        if name.endswith("kernel"):
            return value.flatten(1).t().contiguous()  # (D, M, d) -> (M d, D)
        return value.flatten()
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()  # (p, p, C, D) -> (D, C, p, p)
    if name.endswith("kernel"):
        return value.t().contiguous()
    return value


def _joined(state: StateDict) -> StateDict:
    """Query, key and value projections as one."""
    import torch

    joined = {name: value for name, value in state.items() if not re.search(r"/(query|key|value)/", name)}
    for name in state:
        if "/query/" in name:
            parts = [state.get(name.replace("/query/", f"/{part}/")) for part in ("query", "key", "value")]
            if all(part is not None for part in parts):
                joined[name.replace("/query/", "/qkv/")] = torch.cat(parts)
    return joined
