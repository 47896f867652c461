"""What the converters of plain vision transformers share: names of blocks, positions of prefix tokens.

Files of Hugging Face's transformers are first brought to the names of the official files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

EMBEDDING_RULES = (
    (r"(cls_token|pos_embed)", r"\1"),
    (r"(patch_embed\.proj\.(?:weight|bias))", r"\1"),
)
BLOCK_RULES = (
    (r"(blocks\.\d+\.norm[12]\.(?:weight|bias))", r"\1"),
    (r"(blocks\.\d+\.attn\.(?:qkv|proj)\.(?:weight|bias))", r"\1"),
    (r"(blocks\.\d+\.mlp\.fc[12]\.(?:weight|bias))", r"\1"),
)
NORM_RULE = (r"(norm\.(?:weight|bias))", r"\1")
HEADS = (r"(head|head_dist|fc_norm|pre_logits|decoder\w*|lm_head)(\.\w+)*",)
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


def unwrapped(official: Mapping[str, Tensor], marker: str = "patch_embed.proj.weight") -> StateDict:
    """The part of a checkpoint that holds the network, without the prefixes of what held it.

    Args:
        official: names and tensors.
        marker: a name that the network has; what stands in front of it is the prefix.
    """
    for wrapper in ("teacher", "model", "state_dict", "module"):
        official = official[wrapper] if isinstance(official.get(wrapper), Mapping) else official
    prefix = next((name[: -len(marker)] for name in official if name.endswith(marker)), "")
    return {name.removeprefix(prefix): value for name, value in official.items() if name.startswith(prefix)}


def rename(
    system: str,
    official: Mapping[str, Tensor],
    rules: tuple[tuple[str, str], ...] = (),
    dropped: tuple[str, ...] = (),
    required: tuple[tuple[str, str], ...] = (),
) -> StateDict:
    """Apply rules of which some may match nothing; those in ``required`` must match.

    Raises:
        CheckpointError: names are unexpected, or a required one is missing.
    """
    needed = Renaming(system, (*required, *rules), dropped, required=False)(official)
    for pattern, _ in required:
        if not any(re.fullmatch(pattern, name) for name in official):
            raise CheckpointError(f"this is no official {system} checkpoint: no name like {pattern}")
    return needed


def fold_prefix_positions(state: StateDict, system: str) -> StateDict:
    """Add the position of each prefix token to the token, so that ``pos_embed`` has patches only.

    ``cls_token`` comes first, then ``registers``; a table with a row for the class token alone leaves
    registers without a position.

    Raises:
        CheckpointError: the table has neither a square number of patches nor one more or one a prefix token.
    """
    table = state.get("pos_embed")
    if table is None:
        return state
    registers = state.get("registers")
    counts = dict.fromkeys((0, 1, 1 + (0 if registers is None else registers.shape[1])))
    rows = table.shape[1]
    count = next((c for c in counts if round((rows - c) ** 0.5) ** 2 == rows - c), None)
    if count is None:
        raise CheckpointError(
            f"the {rows} positions of the {system} checkpoint are no square grid of patches"
        )
    state = dict(state, pos_embed=table[:, count:])
    if count and "cls_token" in state:
        state["cls_token"] = state["cls_token"] + table[:, :1]
    if count > 1:
        state["registers"] = registers + table[:, 1:count]
    return state


def split_fused_gate(state: StateDict) -> StateDict:
    """``mlp.w12`` of DINOv2's SwiGLU into ``w1`` and ``w2``."""
    split: StateDict = {}
    for name, value in state.items():
        if ".mlp.w12." in name:
            for part, half in zip(("w1", "w2"), value.chunk(2)):
                split[name.replace("w12", part)] = half.clone()
        else:
            split[name] = value
    return split


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
