"""Golden adapter of ViR (system ``vir``)."""

from __future__ import annotations

import re

from torch import Tensor, nn

from dense3d.backbones import ViR
from dense3d.layers.retention import decay_mask, decays
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.options import Options
from tests.golden.plain import encoded, image_size, load, plain_architecture, plain_rules


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    model, head = load(kit, ViR(_architecture(kit.options)), "vir")

    def in_form(form: str):
        def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            for block in model.blocks:
                block.attn.form = form
            found = model.normalise(encoded(model, inputs["image"])[0])
            for block in model.blocks:
                block.attn.form = "softmax"
            return {"tokens": found.roll(-1, dims=1)}  # the class token is last there

        return tokens

    def published(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": _block(kit, check, model).attn(inputs["tokens"])}

    def with_state(form: str):
        def mixer(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            retention = _block(kit, check, model).attn
            mixed, state = getattr(retention, form)(*retention.heads(inputs["tokens"]))
            return {"y": retention.join(mixed), "state": state}

        return mixer

    def mask(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        gamma = decays(model.arch.num_heads)
        return {"gamma": gamma, "mask": decay_mask(gamma, int(inputs["n"]))}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": _block(kit, check, model)(inputs["tokens"])}

    forms = {f"tokens.{form}": in_form(form) for form in ("recurrent", "chunkwise")}
    forms |= {f"mixer.{form}": with_state(form) for form in ("recurrent", "chunkwise")}
    return by_name(
        plain_rules(model, head) | forms | {"mixer.parallel": published, "mask": mask, "block": block}
    )


def _block(kit: GoldenKit, check: dict, model: ViR) -> nn.Module:
    """The block that a note names, as ``blocks.1`` or ``block 1``."""
    named = re.search(r"\bblocks?[ .](\d+)", check.get("note", ""))
    number = int(named[1]) if named else stated_block(kit, check, count=len(model.blocks))
    return model.blocks[number]


def _architecture(options: Options) -> dict:
    options.neutral("qkv_bias")  # the official code always has them
    arch = plain_architecture(options) | dict(qkv_bias=True)
    options.only("qk_scale", None)
    options.only("global_pool", "token_last")
    return arch | dict(
        pretrain_size=image_size(options),
        embed_dim=options.take("embed_dim", 768),
        num_heads=options.take("num_heads", 12),
        layer_scale=options.take("init_values", None) or None,
    )
