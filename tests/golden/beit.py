"""Golden adapter of BEiT's segmentation backbone (system ``beit``)."""

from __future__ import annotations

from torch import Tensor

from dense3d.adapters import RescaledPyramid
from dense3d.layers import resize_relative_table
from tests.golden.checks import Run, by_name, wanted_indices
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.options import Options, square
from tests.golden.weights import load_kit

# argument -> default of the official constructor
VIT_DEFAULTS = {
    "patch_size": 16,
    "in_chans": 3,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": False,
    "qk_scale": None,
    "use_abs_pos_emb": True,
    "use_rel_pos_bias": False,
    "use_shared_rel_pos_bias": False,
}
SCALES = 4


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    blocks_taken = kit.options.take("out_indices", [3, 5, 7, 11])
    vit = dict(arch=beit_architecture(kit.options, [name for name, _, _ in kit.meta["params"]], 224))
    if not 0 < len(blocks_taken) <= SCALES:
        raise kit.options.refusal("out_indices", blocks_taken, f"one to {SCALES} blocks have a scale each")
    if vit["arch"]["patch_size"] != 16:
        raise kit.options.refusal("patch_size", vit["arch"]["patch_size"], "the scales are those of 16")
    padded = [*blocks_taken, *[blocks_taken[-1]] * (SCALES - len(blocks_taken))]
    model = load_kit(RescaledPyramid(vit, blocks=padded, norm="batch"), kit, "beit-seg")

    def backbone(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = [*model(inputs["image"])][: len(blocks_taken)]
        if len(maps) == SCALES:  # the official pooling leaves out a last odd row or column
            height, width = (n // 32 for n in inputs["image"].shape[-2:])
            maps[3] = maps[3][..., :height, :width]
        return {f"f{i}": m for i, m in enumerate(maps)}

    def blocks(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = model.vit.embed(inputs["image"])
        outputs, start = {}, 0
        for index in wanted_indices(check, "block"):
            tokens = model.vit.run_blocks(tokens, grid, start, index + 1)
            outputs[f"block{index}"], start = tokens, index + 1
        return outputs

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(model.vit.blocks))

        def one(x: Tensor) -> Tensor:
            return model.vit.blocks[number](x, model.vit.arch.table_grid, model.vit.num_prefix)

        return {"x": one(inputs["x"]), "small": one(0.001 * inputs["x"])}

    checks = {"backbone": backbone, "blocks": blocks, "block": block}
    return by_name(checks | {"relative_position_resize": resize})


def beit_architecture(options: Options, names: list[str], img_size: int) -> dict:
    """Our architecture of the official constructor's arguments.

    Args:
        options: of the kit.
        names: of the kit's parameters, which tell whether there is a layer scale.
        img_size: default of the image size.
    """
    # of training, and of no network here
    options.neutral("drop_path_rate", "drop_rate", "attn_drop_rate", "use_checkpoint", "num_classes")
    options.neutral("init_values")  # the start of what the kit's parameters set
    options.only("hybrid_backbone", None)
    options.only("norm_layer", None)
    config = options.take_all(VIT_DEFAULTS)
    return dict(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        pretrain_size=square(options, "img_size", img_size),
        in_channels=config["in_chans"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias="query_value" if config["qkv_bias"] else "none",
        qk_scale=config["qk_scale"] or None,
        layer_scale=1.0 if any(name.endswith("gamma_1") for name in names) else None,
        position="learned" if config["use_abs_pos_emb"] else None,
        relative_position=config["use_rel_pos_bias"] or config["use_shared_rel_pos_bias"],
        final_norm=False,
    )


def resize(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's table for another grid."""
    side = (round((len(inputs["table"]) - 3) ** 0.5) + 1) // 2
    target = int(inputs["target"])
    return {"table": resize_relative_table(inputs["table"], (side, side), (target, target))}
