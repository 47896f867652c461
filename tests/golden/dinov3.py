"""Golden adapter of DINOv3 (system ``dinov3``): the vision transformers; its ConvNeXts have their own."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.backbones.vit import VisionTransformer
from dense3d.errors import DataError
from dense3d.layers.rotary import Rotation
from tests.golden.dinov2 import DinoOutputs
from tests.golden.kit import GoldenKit
from tests.golden.vit_kits import config_of, load_kit, runner

_NORM_EPS = {"layernorm": 1e-6, "layernormbf16": 1e-5}
_FFN = {
    "mlp": ("mlp", 8),
    "swiglu": ("swiglu", 8),
    "swiglu32": ("swiglu", 32),
    "swiglu64": ("swiglu", 64),
    "swiglu128": ("swiglu", 128),
}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# of no effect on evaluation, or on the values that a checkpoint sets
_NEUTRAL = {"img_size", "drop_path_rate", "layerscale_init", "device", "untie_global_and_local_cls_norm"}
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
_KNOWN = {*_SIZES, *_FLAGS, *_CHOICES, *_NEUTRAL, *(f"pos_embed_rope_{name}" for name in _ROPE)}


def open_kit(kit: GoldenKit):
    """Build the network of the kit's config and load its weights."""
    if "depths" in kit.meta.get("config", {}):
        from tests.golden import dinov3_convnext

        return dinov3_convnext.open_kit(kit)
    vit = load_kit(VisionTransformer(_architecture(kit)), kit, "dinov3")
    outputs = DinoOutputs(vit, ("cls", "storage"))
    return runner(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "block0": lambda _check, inputs: _block(vit, inputs["x"]),
            "rope": lambda _check, inputs: _rope(vit, inputs),
        }
    )


def _architecture(kit: GoldenKit) -> dict:
    config = _SIZES | _FLAGS | _CHOICES | config_of(kit, _KNOWN)
    for key, table in (("norm_layer", _NORM_EPS), ("ffn_layer", _FFN), ("pos_embed_rope_dtype", _DTYPES)):
        if config[key] not in table:
            raise DataError(f"{kit.folder}: {key}={config[key]!r} is not one of {', '.join(table)}")
    ffn, multiple = _FFN[config["ffn_layer"]]
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


def _block(vit: VisionTransformer, x: Tensor) -> dict[str, Tensor]:
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
