"""Golden adapter of TNT and PyramidTNT (systems ``tnt``, ``pyramid-tnt``)."""

from __future__ import annotations

import re

from torch import Tensor, nn

from dense3d.backbones import TNT, PyramidTNT
from dense3d.layers.patch_embed import map_to_tokens, tokens_to_map
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note, stated_block, stated_grid, stated_numbers
from tests.golden.options import Options
from tests.golden.plain import image_size, load, plain_architecture, plain_rules


def open_kit(kit: GoldenKit) -> Run:
    """Build the TNT of the kit's config and load its weights."""
    model, head = load(kit, TNT(_architecture(kit.options)), "tnt")

    def embed(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"words": model.patch_embed(inputs["image"])[0]}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(model.blocks))
        inner, outer = model.blocks[number](inputs["inner"], inputs["outer"])
        return {"inner": inner, "outer": outer}

    def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = model.blocks[stated_block(kit, check, count=len(model.blocks))]
        return {"out": _attention(kit, check, chosen)(inputs["x"])}

    return by_name(plain_rules(model, head) | {"embed": embed, "block": block, "mixer": mixer})


def _architecture(options: Options) -> dict:
    return dict(
        plain_architecture(options, norm_eps=1e-5),
        pretrain_size=image_size(options),
        embed_dim=options.take("outer_dim", 768),
        num_heads=options.take("outer_num_heads", 12),
        inner_dim=options.take("inner_dim", 48),
        inner_heads=options.take("inner_num_heads", 4),
        inner_stride=options.take("inner_stride", 4),
        excite=options.take("se", 0) > 0,
    )


def _attention(kit: GoldenKit, check: dict, block: nn.Module) -> nn.Module:
    """The attention that the note names; that of the words where it names none."""
    named = re.search(r"(inner|outer)_attn", full_note(kit, check))
    return getattr(block, f"{named[1] if named else 'inner'}_attn")


def open_pyramid(kit: GoldenKit) -> Run:
    """Build the PyramidTNT of the kit's config and load its weights."""
    model, head = load(kit, PyramidTNT(**_pyramid(kit.options)), "pyramid-tnt")

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, maps = model.stem(inputs["image"]), {}
        for index in range(len(model.channels)):
            x = model.stage(index, x)
            maps[f"f{index + 1}"] = x[1]
        return maps

    def logits(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(features(check, inputs)[f"f{len(model.channels)}"])}

    def embed(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        words, sentences = model.patch_embed(inputs["image"])
        return {"inner": words, "outer": map_to_tokens(sentences)}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        stage = (stated_numbers(kit, check, r"stages\.(\d+)") or [0])[0]
        blocks = model.stages[stage].blocks
        number = stated_block(kit, check, count=len(blocks))
        grid = _grid(kit, check, inputs["outer"], tuple(n // 2**stage for n in model.table_grid))
        bias = model.stages[stage].relative_bias(grid)
        inner, outer = blocks[number](inputs["inner"], tokens_to_map(inputs["outer"], grid), bias)
        return {"inner": inner, "outer": map_to_tokens(outer)}

    def merge(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        index = (stated_numbers(kit, check, r"(?:word|sentence)_merges\.(\d+)") or [0])[0]
        grid = _grid(kit, check, inputs["outer"], tuple(n // 2**index for n in model.table_grid))
        sentences = tokens_to_map(inputs["outer"], grid)
        merged = model.sentence_merges[index](sentences)
        return {"inner": model.word_merges[index](inputs["inner"], grid), "outer": map_to_tokens(merged)}

    rules = {"features": features, "logits": logits, "embed": embed, "block": block}
    return by_name(rules | {"merge": merge})


def _pyramid(options: Options) -> dict:
    sizes = dict(options.take("configs"))
    known = ("depths", "outer_dims", "inner_dims", "outer_heads", "inner_heads")
    for name in sizes:
        if name not in known:
            raise options.refusal("configs", name, f"known are {', '.join(known)}")
    options.neutral("drop_rate", "attn_drop_rate", "drop_path_rate")
    options.only("norm_layer", None)
    return dict(
        arch={name: tuple(value) for name, value in sizes.items()},
        pretrain_size=image_size(options),
        in_channels=options.take("in_chans", 3),
        mlp_ratio=options.take("mlp_ratio", 4.0),
        qkv_bias=options.take("qkv_bias", False),
        qk_scale=options.take("qk_scale", None) or None,
        excite=options.take("se", 0) > 0,
        output_norms=False,
    )


def _grid(kit: GoldenKit, check: dict, tokens: Tensor, expected: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tokens: those of the images of the config, else as a note says."""
    count = tokens.shape[1]
    return expected if expected[0] * expected[1] == count else stated_grid(kit, check, count)
