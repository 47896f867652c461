"""Golden adapter of BEiT's segmentation backbone (system ``beit``)."""

from __future__ import annotations

from torch import Tensor

from dense3d.adapters import RescaledPyramid
from dense3d.layers import resize_relative_table
from tests.golden.checks import Run, by_name, config_of, wanted_indices
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_kit

# argument -> default of the official constructor
_DEFAULTS = {
    "img_size": 512,
    "patch_size": 16,
    "in_chans": 3,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "qkv_bias": False,
    "init_values": None,
    "use_abs_pos_emb": True,
    "use_rel_pos_bias": False,
    "use_shared_rel_pos_bias": False,
    "out_indices": [3, 5, 7, 11],
}
# of no effect on evaluation, or on the values that a checkpoint sets
_NEUTRAL = {"drop_path_rate", "drop_rate", "attn_drop_rate", "use_checkpoint", "num_classes"}


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    config = _DEFAULTS | config_of(kit, {*_DEFAULTS, *_NEUTRAL})
    vit = dict(arch=beit_architecture(config))
    model = RescaledPyramid(vit, blocks=config["out_indices"], norm="batch")
    load_kit(model, kit, "beit-seg")
    table_grid = model.vit.arch.table_grid

    def backbone(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"f{i}": m for i, m in enumerate(model(inputs["image"]))}

    def blocks(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = model.vit.embed(inputs["image"])
        outputs, start = {}, 0
        for index in wanted_indices(check, "block"):
            tokens = model.vit.run_blocks(tokens, grid, start, index + 1)
            outputs[f"block{index}"], start = tokens, index + 1
        return outputs

    def block(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        def first(x: Tensor) -> Tensor:
            return model.vit.blocks[0](x, table_grid, model.vit.num_prefix)

        return {"x": first(inputs["x"]), "small": first(0.001 * inputs["x"])}

    checks = {"backbone": backbone, "blocks": blocks, "block0": block}
    return by_name(checks | {"relative_position_resize": resize})


def beit_architecture(config: dict) -> dict:
    """Our architecture of the official constructor's arguments."""
    return dict(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        pretrain_size=config["img_size"],
        in_channels=config.get("in_chans", 3),
        mlp_ratio=config["mlp_ratio"],
        qkv_bias="query_value" if config["qkv_bias"] else "none",
        layer_scale=None if config["init_values"] is None else 1.0,
        position="learned" if config["use_abs_pos_emb"] else None,
        relative_position=config["use_rel_pos_bias"] or config.get("use_shared_rel_pos_bias", False),
        final_norm=False,
    )


def resize(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's table for another grid."""
    side = (round((len(inputs["table"]) - 3) ** 0.5) + 1) // 2
    target = int(inputs["target"])
    return {"table": resize_relative_table(inputs["table"], (side, side), (target, target))}
