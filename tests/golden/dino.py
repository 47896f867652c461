"""Golden adapter of DINOv2 and DINOv3 (systems ``dinov2``, ``dinov3``): transformers and ConvNeXts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones import ConvNeXt, VisionTransformer
from dense3d.errors import DataError
from dense3d.layers import tokens_to_map
from dense3d.layers.rotary import Rotation
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, by_name, config_of, tensors_of_inputs, wanted, wanted_indices
from tests.golden.convnext import build, unpadded_maps
from tests.golden.kit import GoldenKit
from tests.golden.weights import load_kit, tensors_of

_V2_FFN = {"mlp": "mlp", "swiglu": "swiglu", "swiglufused": "swiglu"}
# without effect on the values, or on evaluation
_V2_NEUTRAL = {"block_chunks", "drop_path_rate", "drop_path_uniform", "num_classes"}
_V2_KNOWN = {
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
    *_V2_NEUTRAL,
}


def open_v2(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    vit = load_kit(VisionTransformer(_v2_architecture(kit)), kit, "dinov2")
    class_position = tensors_of(kit)["pos_embed"][:, :1]
    outputs = DinoOutputs(vit, ("cls", "registers"))

    def position(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        grid = tuple(int(inputs[side]) // vit.patch_size for side in ("height", "width"))
        return {"pos": torch.cat([class_position, vit.position_table(grid)], dim=1)}

    def block(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: vit.blocks[0](value) for name, value in inputs.items()}

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"tokens": vit.embed(inputs["image"], inputs.get("masks"))[0]}

    return by_name(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "tokens": tokens,
            "pos_embed": position,
            "block0": block,
        }
    )


def _v2_architecture(kit: GoldenKit) -> dict:
    config = config_of(kit, _V2_KNOWN)
    ffn = config.get("ffn_layer", "mlp")
    if ffn not in _V2_FFN:
        raise DataError(f"{kit.folder}: ffn_layer={ffn!r} is not one of {', '.join(_V2_FFN)}")
    init = config.get("init_values")
    return dict(
        embed_dim=config.get("embed_dim", 768),
        depth=config.get("depth", 12),
        num_heads=config.get("num_heads", 12),
        patch_size=config.get("patch_size", 16),
        pretrain_size=config.get("img_size", 224),
        in_channels=config.get("in_chans", 3),
        mlp_ratio=config.get("mlp_ratio", 4.0),
        ffn=_V2_FFN[ffn],
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


_NORM_EPS = {"layernorm": 1e-6, "layernormbf16": 1e-5}
_V3_FFN = {
    "mlp": ("mlp", 8),
    "swiglu": ("swiglu", 8),
    "swiglu32": ("swiglu", 32),
    "swiglu64": ("swiglu", 64),
    "swiglu128": ("swiglu", 128),
}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# of no effect on evaluation, or on the values that a checkpoint sets
_V3_NEUTRAL = {"img_size", "drop_path_rate", "layerscale_init", "device", "untie_global_and_local_cls_norm"}
_ROPE = {
    "base": "rope_base",
    "min_period": "rope_min_period",
    "max_period": "rope_max_period",
    "normalize_coords": "rope_normalize",
    "shift_coords": "rope_shift",
    "jitter_coords": "rope_jitter",
    "rescale_coords": "rope_rescale",
}
_SIZES = {"patch_size": 16, "in_chans": 3, "embed_dim": 768, "depth": 12, "num_heads": 12, "ffn_ratio": 4.0}
_FLAGS = {
    "qkv_bias": True,
    "ffn_bias": True,
    "proj_bias": True,
    "mask_k_bias": False,
    "untie_cls_and_patch_norms": False,
}
_CHOICES = {
    "norm_layer": "layernorm",
    "ffn_layer": "mlp",
    "n_storage_tokens": 0,
    "pos_embed_rope_dtype": "bf16",
}
_V3_KNOWN = {*_SIZES, *_FLAGS, *_CHOICES, *_V3_NEUTRAL, *(f"pos_embed_rope_{name}" for name in _ROPE)}


def open_v3(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    vit = load_kit(VisionTransformer(_v3_architecture(kit)), kit, "dinov3")
    outputs = DinoOutputs(vit, ("cls", "storage"))
    return by_name(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "block0": lambda _check, inputs: _v3_block(vit, inputs["x"]),
            "rope": lambda _check, inputs: _rope(vit, inputs),
        }
    )


def _v3_architecture(kit: GoldenKit) -> dict:
    config = _SIZES | _FLAGS | _CHOICES | config_of(kit, _V3_KNOWN)
    for key, table in (("norm_layer", _NORM_EPS), ("ffn_layer", _V3_FFN), ("pos_embed_rope_dtype", _DTYPES)):
        if config[key] not in table:
            raise DataError(f"{kit.folder}: {key}={config[key]!r} is not one of {', '.join(table)}")
    ffn, multiple = _V3_FFN[config["ffn_layer"]]
    qkv_bias = "full" if config["qkv_bias"] else "none"
    theirs = {ours: f"pos_embed_rope_{name}" for name, ours in _ROPE.items()}
    rope = {ours: config[name] for ours, name in theirs.items() if name in config}
    return rope | dict(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        in_channels=config["in_chans"],
        mlp_ratio=config["ffn_ratio"],
        ffn=ffn,
        swiglu_multiple=multiple,
        qkv_bias="query_value" if config["qkv_bias"] and config["mask_k_bias"] else qkv_bias,
        ffn_bias=config["ffn_bias"],
        proj_bias=config["proj_bias"],
        layer_scale=1.0 if config.get("layerscale_init", 1e-5) is not None else None,
        num_registers=config["n_storage_tokens"],
        mask_token=True,
        position="rope",
        rope_dtype=_DTYPES[config["pos_embed_rope_dtype"]],
        norm_eps=_NORM_EPS[config["norm_layer"]],
        untied_norms=config["untie_cls_and_patch_norms"],
    )


def _v3_block(vit: VisionTransformer, x: Tensor) -> dict[str, Tensor]:
    """The first block on prefix tokens and a 3 x 4 grid."""
    columns = 4
    grid = ((x.shape[1] - vit.num_prefix) // columns, columns)
    arguments = (grid, vit.num_prefix, vit.rope(grid))
    return {
        "x": vit.blocks[0](x, *arguments),
        "attn": vit.blocks[0].attn(x, *arguments),
        "small": vit.blocks[0](0.003 * x, *arguments),
        "norm": vit.norm(0.003 * x),
    }


def _rope(vit: VisionTransformer, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    grid = int(inputs["height"]), int(inputs["width"])
    draws = (inputs.get("shift"), inputs.get("log_jitter"), inputs.get("log_rescale"))
    sin, cos = _float(vit.rope.rotation(vit.rope.coordinates(grid, *draws)))
    return {"sin": sin, "cos": cos}


def _float(rotation: Rotation) -> tuple[Tensor, Tensor]:
    sin, cos = rotation
    return sin.to(torch.float32), cos.to(torch.float32)


def open_convnext(kit: GoldenKit) -> Run:
    """Build the kit's network with its weights."""
    config = kit.meta["config"]
    model = load_kit(build(config, tensors_of(kit), output_norm="last"), kit, "dinov3-convnext")
    return ConvNeXtOutputs(model, config.get("patch_size")).run


class ConvNeXtOutputs:
    """Features of the last map, intermediate maps and their means."""

    def __init__(self, model: ConvNeXt, patch_size: int | None) -> None:
        self.model = model
        self.patch_size = patch_size

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: no rule for its name and inputs.
        """
        if set(inputs) != {"image"}:
            raise UnknownCheckError(f"DINOv3's ConvNeXt has no rule for the check {check['name']!r}")
        images = tensors_of_inputs(inputs)["image"]
        maps = list(unpadded_maps(self.model, images))
        found = self._features(maps[-1])
        for index, x in enumerate(maps):
            found |= self._intermediate(index, x, images.shape[-2:], normalise="raw" not in check["name"])
        return wanted(check, found)

    def _norm(self, tokens: Tensor) -> Tensor:
        """The network's norm on ``(..., C)``."""
        norm = self.model.norm3
        return F.layer_norm(tokens, tokens.shape[-1:], norm.weight, norm.bias, norm.eps)

    def _features(self, x: Tensor) -> dict[str, Tensor]:
        tokens = x.flatten(2).transpose(1, 2)  # (B, h w, C)
        return {"cls": self._norm(x.mean((2, 3))), "patch": self._norm(tokens), "prenorm": tokens}

    def _intermediate(
        self, index: int, x: Tensor, size: tuple[int, int], normalise: bool
    ) -> dict[str, Tensor]:
        mean = x.mean((2, 3))
        if self.patch_size is not None:
            grid = (size[0] // self.patch_size, size[1] // self.patch_size)
            x = F.interpolate(x, grid, mode="bilinear", antialias=True)
        if normalise and index == len(self.model.channels) - 1:
            mean, x = self._norm(mean), self._norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {f"cls{index}": mean, f"map{index}": x}
