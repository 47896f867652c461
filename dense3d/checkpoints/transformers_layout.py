"""Plain vision transformers as Hugging Face's transformers names them -> the names of the official files."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# name in transformers 4 and 5 (ViT, DeiT, ViT-MAE, BEiT, DINOv2, DINOv3) -> official name
_RULES = (
    (r"embeddings\.(cls_token|mask_token|register_tokens)", r"\1"),
    (r"embeddings\.distillation_token", r"dist_token"),
    (r"embeddings\.position_embeddings", r"pos_embed"),
    (r"embeddings\.patch_embeddings(?:\.projection)?\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"layernorm\.(weight|bias)", r"norm.\1"),
    (r"pooler\.layernorm\.(weight|bias)", r"fc_norm.\1"),
    (r"{b}attention\.(?:output\.dense|o_proj)\.(weight|bias)", r"{o}attn.proj.\2"),
    (r"{b}(?:layernorm_before|norm1)\.(weight|bias)", r"{o}norm1.\2"),
    (r"{b}(?:layernorm_after|norm2)\.(weight|bias)", r"{o}norm2.\2"),
    (r"{b}(?:intermediate\.dense|mlp\.fc1)\.(weight|bias)", r"{o}mlp.fc1.\2"),
    (r"{b}(?:output\.dense|mlp\.fc2)\.(weight|bias)", r"{o}mlp.fc2.\2"),
    (r"{b}mlp\.weights_in\.(weight|bias)", r"{o}mlp.w12.\2"),
    (r"{b}mlp\.weights_out\.(weight|bias)", r"{o}mlp.w3.\2"),
    (r"{b}mlp\.gate_proj\.(weight|bias)", r"{o}mlp.w1.\2"),
    (r"{b}layer_scale([12])\.lambda1", r"{o}ls\2.gamma"),
    (r"{b}lambda_([12])", r"{o}gamma_\2"),
    (
        r"{b}(?:attention\.attention\.)?relative_position_bias\.relative_position_(bias_table|index)",
        r"{o}attn.relative_position_\2",
    ),
    (
        r"(?:encoder\.relative_position_bias|shared_position_bias)\.relative_position_bias_table",
        r"rel_pos_bias.relative_position_bias_table",
    ),
    (r"decoder\.mask_token", r"mask_token"),
    (r"decoder\.decoder_(embed|norm|pred)\.(weight|bias)", r"decoder_\1.\2"),
    (r"decoder\.decoder_pos_embed", r"decoder_pos_embed"),
    (r"(?:classifier|pooler\.dense|lm_head)\.(weight|bias)", r"head.\1"),
    (r"(?:cls_classifier|distillation_classifier)\.(weight|bias)", r"head_dist.\1"),
)
_BLOCK = r"(?:encoder\.)?(?:model\.)?layers?\.(\d+)\."
_PROJECTION = re.compile(
    r"(?:encoder\.|model\.)?(decoder\.decoder_layers|layers?)\.(\d+)\.attention\."
    r"(?:attention\.)?(query|key|value|q_proj|k_proj|v_proj)\.(weight|bias)"
)
_MODELS = r"^(?:vit|deit|beit|dinov2|dinov2_with_registers|dinov3_vit|backbone|model)\."


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names for a state dict of transformers; any other comes back as it is.

    Example:
        >>> from_transformers({"patch_embed.proj.bias": torch.ones(1)}).keys()
        dict_keys(['patch_embed.proj.bias'])
    """
    if not any("patch_embeddings." in name for name in state):
        return dict(state)
    named: dict[str, Tensor] = {}
    projections: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        plain = re.sub(_MODELS, "", name)
        match = _PROJECTION.fullmatch(plain)
        if match:
            blocks = "decoder_blocks" if "decoder" in match.group(1) else "blocks"
            key = f"{blocks}.{match.group(2)}.attn.qkv.{match.group(4)}"
            projections.setdefault(key, {})[match.group(3)[0]] = value
        else:
            named[_rename(plain)] = value
    # DINOv3 splits its gated network in w1 (gate), w2 (value) and w3; ungated ones have no gate
    gated = any(".mlp.w1." in name for name in named)
    for name in [n for n in named if ".mlp.up_proj." in n or ".mlp.down_proj." in n]:
        up, down = ("w2", "w3") if gated else ("fc1", "fc2")
        named[name.replace("up_proj", up).replace("down_proj", down)] = named.pop(name)
    return named | _joined(projections)


def _rename(name: str) -> str:
    if name.startswith("decoder.decoder_layers."):
        inner = _rename(name.replace("decoder.decoder_layers.", "layer."))
        return inner.replace("blocks.", "decoder_blocks.", 1)
    for pattern, official in _RULES:
        match = re.fullmatch(pattern.replace("{b}", _BLOCK), name)
        if match:
            return match.expand(official.replace("{o}", r"blocks.\1."))
    return re.sub(f"^{_BLOCK}", r"blocks.\1.", name)


def _joined(projections: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Query, key and value as one; where only the key has no bias, BEiT's two separate biases."""
    joined: dict[str, Tensor] = {}
    for name, parts in projections.items():
        if set(parts) == {"q", "k", "v"}:
            joined[name] = torch.cat([parts["q"], parts["k"], parts["v"]])
        else:
            prefix = name.removesuffix("qkv.bias")
            joined |= {f"{prefix}{part}_bias": value for part, value in parts.items()}
    return joined
