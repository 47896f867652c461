"""Golden adapter of ConViT (system ``convit``)."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from dense3d.backbones import ConViT
from dense3d.backbones.convit import GatedPositionalAttention
from dense3d.errors import DataError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.options import Options
from tests.golden.plain import image_size, load, plain_architecture, plain_rules


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    model, head = load(kit, ConViT(_architecture(kit.options)), "convit")
    strength = model.arch.locality_strength

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(model.blocks))
        arguments = (_square(inputs["x"]),) if number < model.arch.local_layers else ()
        return {"out": model.blocks[number](inputs["x"], *arguments)}

    def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        attention, x = model.blocks[stated_block(kit, check, count=len(model.blocks))].attn, inputs["x"]
        if not isinstance(attention, GatedPositionalAttention):
            return {"out": attention(x)}
        return {"out": attention(x, _square(x)), "attn": _gated_map(attention, x)}

    def start(check: dict, _inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        sizes = [int(n) for name in check["outputs"] for n in re.findall(r"pos_proj_(\d+)", name)]
        layers = {n: GatedPositionalAttention(8 * n, n, locality_strength=strength) for n in sizes}
        largest = layers[max(layers)]
        found = {f"pos_proj_{n}": layer.pos_proj.weight for n, layer in layers.items()}
        return found | {"pos_proj_bias": largest.pos_proj.bias, "gating": largest.gating_param}

    rules = {"block": block, "mixer": mixer, "init": start}
    return by_name(plain_rules(model, head) | rules)


def _architecture(options: Options) -> dict:
    options.only("hybrid_backbone", None)
    options.only("global_pool", None)
    return dict(
        plain_architecture(options),
        pretrain_size=image_size(options),
        embed_dim=options.take("embed_dim", 48),
        num_heads=options.take("num_heads", 12),
        local_layers=options.take("local_up_to_layer", 10),
        locality_strength=options.take("locality_strength", 1.0),
        position=options.take("use_pos_embed", True),
    )


def _square(tokens: Tensor) -> tuple[int, int]:
    """The grid of patches, which the official code takes for a square."""
    side = math.isqrt(tokens.shape[1])
    if side * side != tokens.shape[1]:
        raise DataError(f"{tokens.shape[1]} patches are no square")
    return side, side


def _gated_map(attention: GatedPositionalAttention, x: Tensor) -> Tensor:
    """The mixture of both attentions, ``(B, M, N, N)``."""
    query, key = attention.qk(x).unflatten(2, (2, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    scale = query.shape[-1] ** -0.5 if attention.qk_scale is None else attention.qk_scale
    content = (query @ key.transpose(2, 3) * scale).softmax(dim=3)
    rows, columns = attention.positions(_square(x))
    position = torch.einsum("mij,mkl->mikjl", rows, columns).flatten(3, 4).flatten(1, 2)
    gate = attention.gating_param.sigmoid().view(-1, 1, 1)
    return (1 - gate) * content + gate * position
