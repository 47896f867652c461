"""Golden adapter of T2T-ViT (system ``t2t``)."""

from __future__ import annotations

import math
import re

from torch import Tensor

from dense3d.backbones import T2TViT
from dense3d.backbones.t2t_vit import WINDOWS, resized_table, unfold
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note, stated_block
from tests.golden.options import Options
from tests.golden.plain import image_size, load, plain_architecture, plain_rules


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    model, head = load(kit, T2TViT(_architecture(kit.options)), "t2t-vit")
    stem = model.tokens_to_token

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        first = stem.attention1(unfold(inputs["image"], *WINDOWS[0])[0])
        return {"stage1": first, "tokens": stem(inputs["image"])[0]}

    def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        named = re.search(r"attention([12])", full_note(kit, check))
        return {"y": getattr(stem, f"attention{named[1] if named else 2}")(inputs["tokens"])}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(model.blocks))
        return {"y": model.blocks[number](inputs["tokens"])}

    def resize(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        side = math.isqrt(inputs["pos_embed"].shape[1] - 1)
        grid = inputs["grid"].flatten().tolist()
        rows, columns = grid if len(grid) == 2 else grid * 2
        return {"pos_embed": resized_table(inputs["pos_embed"], (side, side), (int(rows), int(columns)))}

    rules = {"stem": tokens, "mixer": mixer, "block": block, "resize": resize}
    return by_name(plain_rules(model, head) | rules)


def _architecture(options: Options) -> dict:
    return dict(
        plain_architecture(options, norm_eps=1e-5),
        pretrain_size=image_size(options),
        embed_dim=options.take("embed_dim", 768),
        num_heads=options.take("num_heads", 12),
        token_dim=options.take("token_dim", 64),
        token_layer=options.choose(
            "tokens_type", {"performer": "performer", "transformer": "transformer"}, "performer"
        ),
    )
