"""Golden adapter of DINOv2 (system ``dinov2``), with and without registers."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.backbones.vit import VisionTransformer
from dense3d.errors import DataError
from dense3d.layers.patch_embed import tokens_to_map
from tests.golden.kit import GoldenKit
from tests.golden.vit_kits import config_of, load_kit, runner, wanted_indices
from tests.golden.weights import tensors_of

_FFN = {"mlp": "mlp", "swiglu": "swiglu", "swiglufused": "swiglu"}
# without effect on the values, or on evaluation
_NEUTRAL = {"block_chunks", "drop_path_rate", "drop_path_uniform", "num_classes"}
_KNOWN = {
    "img_size",
    "patch_size",
    "in_chans",
    "embed_dim",
    "depth",
    "num_heads",
    "mlp_ratio",
    "init_values",
    "ffn_layer",
    "qkv_bias",
    "ffn_bias",
    "proj_bias",
    "num_register_tokens",
    "interpolate_antialias",
    "interpolate_offset",
    *_NEUTRAL,
}


def open_kit(kit: GoldenKit):
    """Build the network of the kit's config and load its weights."""
    vit = load_kit(VisionTransformer(_architecture(kit)), kit, "dinov2")
    class_position = tensors_of(kit)["pos_embed"][:, :1]
    outputs = DinoOutputs(vit, ("cls", "registers"))

    def position(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        grid = tuple(int(inputs[side]) // vit.patch_size for side in ("height", "width"))
        return {"pos": torch.cat([class_position, vit.position_table(grid)], dim=1)}

    def block(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: vit.blocks[0](value) for name, value in inputs.items()}

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"tokens": vit.embed(inputs["image"], inputs.get("masks"))[0]}

    return runner(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "tokens": tokens,
            "pos_embed": position,
            "block0": block,
        }
    )


def _architecture(kit: GoldenKit) -> dict:
    config = config_of(kit, _KNOWN)
    ffn = config.get("ffn_layer", "mlp")
    if ffn not in _FFN:
        raise DataError(f"{kit.folder}: ffn_layer={ffn!r} is not one of {', '.join(_FFN)}")
    init = config.get("init_values")
    return dict(
        embed_dim=config.get("embed_dim", 768),
        depth=config.get("depth", 12),
        num_heads=config.get("num_heads", 12),
        patch_size=config.get("patch_size", 16),
        pretrain_size=config.get("img_size", 224),
        in_channels=config.get("in_chans", 3),
        mlp_ratio=config.get("mlp_ratio", 4.0),
        ffn=_FFN[ffn],
        qkv_bias="full" if config.get("qkv_bias", True) else "none",
        ffn_bias=config.get("ffn_bias", True),
        proj_bias=config.get("proj_bias", True),
        layer_scale=init or None,
        num_registers=config.get("num_register_tokens", 0),
        mask_token=True,
        position_antialias=config.get("interpolate_antialias", False),
        position_offset=config.get("interpolate_offset", 0.1),
    )


class DinoOutputs:
    """The checks that DINOv2 and DINOv3 have in common.

    Args:
        vit: the network.
        prefix_names: outputs that hold the class token and the tokens behind it.
    """

    def __init__(self, vit: VisionTransformer, prefix_names: tuple[str, str]) -> None:
        self.vit, self.prefix_names = vit, prefix_names

    def features(self, _check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Everything after the last block, before and after the final norm."""
        tokens, grid = self.vit.embed(inputs["image"], inputs.get("masks"))
        prenorm = self.vit.run_blocks(tokens, grid)
        tokens = self.vit.normalise(prenorm)
        return self._prefix(tokens) | {"patch": tokens[:, self.vit.num_prefix :], "prenorm": prenorm}

    def intermediate(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps and prefix tokens after the blocks that the outputs name; ``_raw`` in the name: not normed."""
        tokens, grid = self.vit.embed(inputs["image"])
        outputs, start = {}, 0
        for index in wanted_indices(check, "map", *self.prefix_names):
            tokens = self.vit.run_blocks(tokens, grid, start, index + 1)
            start = index + 1
            taken = tokens if "raw" in check["name"] else self.vit.normalise(tokens)
            outputs[f"map{index}"] = tokens_to_map(taken[:, self.vit.num_prefix :], grid)
            outputs |= {f"{name}{index}": value for name, value in self._prefix(taken).items()}
        return outputs

    def _prefix(self, tokens: Tensor) -> dict[str, Tensor]:
        cls, rest = self.prefix_names
        return {cls: tokens[:, 0], rest: tokens[:, 1 : self.vit.num_prefix]}
