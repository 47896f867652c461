"""Golden adapter of IA-RED^2 (system ``ia-red2``); the official code computes dropped tokens too."""

from __future__ import annotations

import re

from torch import Tensor

from dense3d.backbones import IARed2
from dense3d.checkpoints import ia_red2 as converters
from dense3d.layers import tokens_to_map
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note
from tests.golden.options import Options, square
from tests.golden.weights import load_kit, load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and its tail, and load their weights."""
    model = load_kit(_build(kit.options), kit, "ia-red2")
    official = tensors_of(kit)
    head = model.class_head(kit.options.take("num_classes", 1000))
    load_strictly(head, converters.convert_head(official), kit)

    def whole(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = model.embed(inputs["image"])
        found = model.interpret(tokens)
        normed = model.normalise(found.tokens[-1])
        outputs = {f"policy{i}": kept.float() for i, kept in enumerate(found.kept)}
        outputs |= {f"prob{i}": scores for i, scores in enumerate(found.scores)}
        return outputs | {
            "cls": normed[:, 0],
            "f1": tokens_to_map(normed[:, 1:], grid),
            "logits": head(found.tokens[-1]),
            "flops": model.cost(found.kept),
        }

    def scores(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": model.interpreters[_group(kit, check)](inputs["x"], inputs.get("policy"))}

    def group(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number, kept = _group(kit, check), inputs["policy"] > 0
        first = sum(model.group_sizes[:number])
        x = inputs["x"] * kept[..., None]
        for block in model.blocks[first : first + model.group_sizes[number]]:
            x = block(x, None, 0, None, kept)
        return {"out": x}

    return by_name({"features": whole, "logits": whole, "policy": whole, "mixer": scores, "block": group})


def _group(kit: GoldenKit, check: dict) -> int:
    named = re.search(r"groups\.(\d+)", full_note(kit, check))
    return int(named[1]) if named else 0


def _build(options: Options) -> IARed2:
    take = options.take
    # of training by rewards, and of the dense network that it starts from
    options.neutral("error_penalty", "penalty_list", "drop_rate", "attn_drop_rate", "drop_path_rate")
    depth = take("depth", 12)
    arch = dict(
        embed_dim=take("embed_dim", 768),
        depth=depth,
        num_heads=take("num_heads", 12),
        patch_size=take("patch_size", 16),
        pretrain_size=square(options, "img_size", 224),
        in_channels=take("in_chans", 3),
        mlp_ratio=take("mlp_ratio", 4.0),
        qkv_bias="full" if take("qkv_bias", True) else "none",
    )
    return IARed2(arch, group_sizes=take("group_size"), gather=False)
