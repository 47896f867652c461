"""Golden adapter of ResFormer (system ``resformer``)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dense3d.backbones import ResFormer
from dense3d.errors import DataError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.plain import load, plain_architecture, plain_rules


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    options = kit.options
    options.neutral("img_size")  # of training: nothing in the network has a size
    sizes = dict(embed_dim=options.take("embed_dim", 768), num_heads=options.take("num_heads", 12))
    arch = plain_architecture(options) | sizes
    model, head = load(kit, ResFormer(arch), "resformer")

    def position(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["x"]
        return {"out": x + torch.cat([torch.zeros_like(x[:, :1]), model.pos_embed(_square(x))], dim=1)}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = model.blocks[stated_block(kit, check, count=len(model.blocks))]
        return {"out": chosen(inputs["x"], _square(inputs["x"]), 1)}

    def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = model.blocks[stated_block(kit, check, count=len(model.blocks))].attn
        return {"out": chosen(inputs["x"], _square(inputs["x"]), 1)}

    rules = {"position": position, "block": block, "mixer": mixer}
    return by_name(plain_rules(model, head) | rules)


def _square(tokens: Tensor) -> tuple[int, int]:
    """The grid of the patches behind the class token, which the official code takes for a square."""
    side = math.isqrt(tokens.shape[1] - 1)
    if side * side != tokens.shape[1] - 1:
        raise DataError(f"{tokens.shape[1] - 1} patches are no square")
    return side, side
