"""Golden adapter of CrossViT (system ``crossvit``)."""

from __future__ import annotations

import re

from torch import Tensor

from dense3d.backbones import CrossViT
from dense3d.backbones.crossvit import resized
from dense3d.errors import DataError
from dense3d.layers.patch_embed import tokens_to_map
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note, stated_block
from tests.golden.options import Options
from tests.golden.plain import load

_NEUTRAL = ("drop_rate", "attn_drop_rate", "drop_path_rate")


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    model, head = load(kit, CrossViT(_architecture(kit.options)), "crossvit")
    sizes = [(n, n) for n in model.arch.pretrain_size]

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found, (tokens, grids) = {}, model.tokens(inputs["image"], sizes)
        for branch, (x, grid) in enumerate(zip(tokens, grids)):
            x = model.norm[branch](x)
            found |= {f"cls{branch + 1}": x[:, 0], f"f{branch + 1}": tokens_to_map(x[:, 1:], grid)}
        return found

    def logits(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(model.embed(inputs["image"]))}

    def resize(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"branch{i + 1}": resized(inputs["image"], size) for i, size in enumerate(sizes)}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(model.blocks))
        return dict(zip(("x1", "x2"), model.blocks[number]([inputs["x1"], inputs["x2"]])))

    def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        named = re.search(r"blocks\.(\d+)\.fusion\.(\d+)", full_note(kit, check))
        number, direction = (int(named[1]), int(named[2])) if named else (0, 0)
        if number >= len(model.blocks):
            raise DataError(f"{kit.folder}: there is no blocks.{number} among {len(model.blocks)}")
        return {"out": model.blocks[number].fusion[direction](inputs["x"])}

    rules = {"features": features, "logits": logits, "resize": resize, "block": block, "mixer": mixer}
    return by_name(rules)


def _architecture(options: Options) -> dict:
    options.neutral(*_NEUTRAL)
    for name in ("norm_layer", "qk_scale", "hybrid_backbone"):
        options.only(name, None)
    ratios = options.take("mlp_ratio", (2.0, 2.0, 4.0))
    return dict(
        embed_dim=tuple(options.take("embed_dim", (192, 384))),
        depth=tuple(tuple(entry) for entry in options.take("depth", ((1, 3, 1),) * 3)),
        num_heads=tuple(options.take("num_heads", (6, 12))),
        patch_size=tuple(options.take("patch_size", (8, 16))),
        pretrain_size=tuple(options.take("img_size", (224, 224))),
        in_channels=options.take("in_chans", 3),
        mlp_ratio=tuple(ratios[:2]),  # the third, of the exchange, changes nothing
        qkv_bias=options.take("qkv_bias", False),
        conv_stem=options.take("multi_conv", False),
        norm_eps=options.take("norm_eps", 1e-6),
    )
