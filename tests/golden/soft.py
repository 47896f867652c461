"""Golden adapter of SOFT and SOFT-Norm (system ``soft``)."""

from __future__ import annotations

import re

from torch import Tensor

from dense3d.backbones import SOFT
from dense3d.checkpoints import soft as converters
from dense3d.layers.softmax_free_attention import newton_inverse, normalised_newton_inverse
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_place
from tests.golden.options import Options
from tests.golden.weights import load_kit, load_strictly, tensors_of

_VARIANTS = {"plain": False, "normalised": True}
_STAGES = range(4)


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and its tail, and load their weights."""
    official = tensors_of(kit)
    model = load_kit(_build(kit.options, official), kit, "soft")
    head = model.class_head(kit.options.take("num_classes", 1000))
    load_strictly(head, converters.convert_head(official), kit)

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = model(inputs["image"])
        tokens = model.embed(inputs["image"])
        return {f"f{i + 1}": maps[i] for i in _STAGES} | {"cls": head.norm(tokens[:, 0])}

    def logits(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(model.embed(inputs["image"]))}

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        stage, number = stated_place(kit, check)
        block = model.stages[stage].blocks[number]
        module = block.attn if check["name"].startswith("mixer") else block
        tokens, grid = inputs["tokens"], tuple(int(side) for side in inputs["hw"])
        return {"y": module(tokens, grid)}

    def inverse(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        attention = model.stages[0].blocks[0].attn
        invert = normalised_newton_inverse if attention.normalised else newton_inverse
        return {"inverse": invert(inputs["kernel"], attention.iterations)}

    return by_name({"features": features, "logits": logits, "mixer": part, "block": part, "inverse": inverse})


def _build(options: Options, official: dict[str, Tensor]) -> SOFT:
    take = options.take
    # of training, or of another kernel for the same numbers; the tables have one size whatever the images
    options.neutral("drop_rate", "attn_drop_rate", "drop_path_rate", "kernel_method", "img_size")
    options.only("patch_size", 4)
    reductions, ratios = take("sr_ratios", [8, 4, 2, 1]), take("mlp_ratios", [4, 4, 4, 4])
    if reductions[3] != 1:
        raise options.refusal("sr_ratios", reductions, "with a class token the last stage cannot have one")
    norm = re.search(r"eps ([\d.e-]+)", str(take("norm_layer", "eps 1e-5")))
    attention = "block{}.0.att.mha.attn.{}.weight"
    sizes = {"embed_dims": [64, 128, 256, 512], "depths": [3, 4, 6, 3], "num_heads": [1, 2, 4, 8]}
    dims, depths, heads = options.take_all(sizes).values()
    return SOFT(
        dict(
            dims=dims,
            depths=depths,
            num_heads=heads,
            landmark_ratios=[official[attention.format(i, "Qlandmark_op")].shape[-1] for i in (1, 2, 3)],
            value_kernels=[official[attention.format(i, "conv")].shape[-1] for i in (1, 2, 3)],
        ),
        normalised=options.choose("variant", _VARIANTS),
        iterations=take("newton_max_iter", 20),
        mlp_ratio=ratios[3],
        qkv_bias=take("qkv_bias", False),
        qk_scale=take("qk_scale", None) or None,
        norm_eps=float(norm[1]) if norm else 1e-5,
        in_channels=take("in_chans", 3),
    )
