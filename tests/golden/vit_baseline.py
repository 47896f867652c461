"""Golden adapter of ViT-CoMer's plain baseline (system ``vit-baseline``)."""

from __future__ import annotations

from torch import Tensor

from dense3d.adapters.simple_pyramid import RescaledPyramid
from tests.golden.kit import GoldenKit
from tests.golden.vit_kits import config_of, load_kit, runner, wanted_indices

# argument -> default of the official ViT
VIT_DEFAULTS = {
    "pretrain_size": 224,
    "patch_size": 16,
    "in_chans": 3,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "layer_scale": True,
    "window_attn": False,
    "window_size": 14,
    "residual_indices": [],
}
# of no effect on evaluation, or on the values that a checkpoint sets
VIT_NEUTRAL = {"img_size", "drop_rate", "attn_drop_rate", "drop_path_rate", "with_cp", "pretrained"}


def open_kit(kit: GoldenKit):
    """Build the network of the kit's config and load its weights."""
    known = {*VIT_DEFAULTS, *VIT_NEUTRAL, "out_indices"}
    config = VIT_DEFAULTS | config_of(kit, known)
    model = RescaledPyramid(plain_vit(config), blocks=config["out_indices"], token_norm=True)
    load_kit(model, kit, "vit-baseline")

    def backbone(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = model(inputs["image"])
        # the official pooling leaves out a last odd row or column
        sides = [n // 32 for n in inputs["image"].shape[-2:]]
        maps = (*maps[:3], maps[3][..., : sides[0], : sides[1]])
        return {f"f{i + 1}": m for i, m in enumerate(maps)}

    def blocks(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = model.vit.embed(inputs["image"])
        outputs, start = {}, 0
        for index in wanted_indices(check, "block"):
            tokens = model.vit.run_blocks(tokens, grid, start, index + 1)
            outputs[f"block{index}"], start = tokens, index + 1
        return outputs

    return runner({"backbone": backbone, "blocks": blocks})


def plain_vit(config: dict) -> dict:
    """Our config of the official ViT, which has neither class token nor final norm."""
    depth = config["depth"]
    windowed = _per_block(config["window_attn"], depth)
    sizes = _per_block(config["window_size"], depth)
    arch = dict(
        embed_dim=config["embed_dim"],
        depth=depth,
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        pretrain_size=config["pretrain_size"],
        in_channels=config["in_chans"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias="full" if config["qkv_bias"] else "none",
        layer_scale=1.0 if config["layer_scale"] else None,
        residual_blocks=config["residual_indices"],
    )
    return dict(
        arch=arch,
        prefix_tokens=False,
        final_norm=False,
        window_size=[size if inside else None for inside, size in zip(windowed, sizes)],
        window_padding="zero",
    )


def _per_block(value, depth: int) -> list:
    return list(value) if isinstance(value, list) else [value] * depth
