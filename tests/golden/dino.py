"""Golden adapter of DINOv2 and DINOv3 (systems ``dinov2``, ``dinov3``): transformers and ConvNeXts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones import ConvNeXt, VisionTransformer
from dense3d.layers import tokens_to_map
from dense3d.layers.rotary import Rotation
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, by_name, tensors_of_inputs, wanted, wanted_indices
from tests.golden.convnext import build, unpadded_maps
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block, stated_grid
from tests.golden.options import Options, square
from tests.golden.weights import load_kit, tensors_of

_V2_FFN = {"mlp": "mlp", "swiglu": "swiglu", "swiglufused": "swiglu"}


def open_v2(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    vit = load_kit(VisionTransformer(v2_architecture(kit.options)), kit, "dinov2")
    class_position = tensors_of(kit)["pos_embed"][:, :1]
    outputs = DinoOutputs(vit, ("cls", "registers"))

    def position(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        grid = tuple(int(inputs[side]) // vit.patch_size for side in ("height", "width"))
        return {"pos": torch.cat([class_position, vit.position_table(grid)], dim=1)}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = stated_block(kit, check, count=len(vit.blocks))
        return {name: vit.blocks[number](value) for name, value in inputs.items()}

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"tokens": vit.embed(inputs["image"], inputs.get("masks"))[0]}

    return by_name(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "tokens": tokens,
            "pos_embed": position,
            "block": block,
        }
    )


def v2_architecture(options: Options) -> dict:
    take = options.take
    # of training alone; num_classes is of no network here
    options.neutral("block_chunks", "drop_path_rate", "drop_path_uniform", "num_classes")
    for module in ("embed_layer", "act_layer", "block_fn"):
        options.only(module, None)
    return dict(
        embed_dim=take("embed_dim", 768),
        depth=take("depth", 12),
        num_heads=take("num_heads", 12),
        patch_size=take("patch_size", 16),
        pretrain_size=square(options, "img_size", 224),
        in_channels=take("in_chans", 3),
        mlp_ratio=take("mlp_ratio", 4.0),
        ffn=options.choose("ffn_layer", _V2_FFN, "mlp"),
        qkv_bias="full" if take("qkv_bias", True) else "none",
        ffn_bias=take("ffn_bias", True),
        proj_bias=take("proj_bias", True),
        layer_scale=take("init_values", None) or None,
        num_registers=take("num_register_tokens", 0),
        mask_token=True,
        position_antialias=take("interpolate_antialias", False),
        position_offset=take("interpolate_offset", 0.1),
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


_NORMS = {"layernorm": ("layer", 1e-6), "layernormbf16": ("layer", 1e-5), "rmsnorm": ("rms", 1e-5)}
_V3_FFN = {
    "mlp": ("mlp", 8),
    "swiglu": ("swiglu", 8),
    "swiglu32": ("swiglu", 32),
    "swiglu64": ("swiglu", 64),
    "swiglu128": ("swiglu", 128),
}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
# our name -> official name behind pos_embed_rope_, official default
_ROPE = {
    "rope_base": ("base", 100.0),
    "rope_min_period": ("min_period", None),
    "rope_max_period": ("max_period", None),
    "rope_normalize": ("normalize_coords", "separate"),
    "rope_shift": ("shift_coords", None),
    "rope_jitter": ("jitter_coords", None),
    "rope_rescale": ("rescale_coords", None),
}


def open_v3(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    if any(name.startswith("downsample_layers.") for name, _, _ in kit.meta["params"]):
        return open_convnext(kit)
    vit = load_kit(VisionTransformer(v3_architecture(kit.options)), kit, "dinov3")
    outputs = DinoOutputs(vit, ("cls", "storage"))
    return by_name(
        {
            "features": outputs.features,
            "intermediate": outputs.intermediate,
            "block": lambda check, inputs: _v3_block(vit, kit, check, inputs["x"]),
            "rope": lambda _check, inputs: _rope(vit, inputs),
        }
    )


def v3_architecture(options: Options) -> dict:
    take = options.take
    # of training, and of the memory that the weights are first made in
    options.neutral("img_size", "drop_path_rate", "device", "untie_global_and_local_cls_norm")
    ffn, multiple = options.choose("ffn_layer", _V3_FFN, "mlp")
    norm, eps = options.choose("norm_layer", _NORMS, "layernorm")
    bias, masked = take("qkv_bias", True), take("mask_k_bias", False)
    scaled = take("layerscale_init", None) is not None
    rope = {ours: take(f"pos_embed_rope_{name}", default) for ours, (name, default) in _ROPE.items()}
    return rope | dict(
        embed_dim=take("embed_dim", 768),
        depth=take("depth", 12),
        num_heads=take("num_heads", 12),
        patch_size=take("patch_size", 16),
        in_channels=take("in_chans", 3),
        mlp_ratio=take("ffn_ratio", 4.0),
        ffn=ffn,
        swiglu_multiple=multiple,
        qkv_bias=("query_value" if masked else "full") if bias else "none",
        ffn_bias=take("ffn_bias", True),
        proj_bias=take("proj_bias", True),
        layer_scale=1.0 if scaled else None,
        num_registers=take("n_storage_tokens", 0),
        mask_token=True,
        position="rope",
        rope_dtype=options.choose("pos_embed_rope_dtype", _DTYPES, "bf16"),
        norm=norm,
        norm_eps=eps,
        untied_norms=take("untie_cls_and_patch_norms", False),
    )


def _v3_block(vit: VisionTransformer, kit: GoldenKit, check: dict, x: Tensor) -> dict[str, Tensor]:
    """One block on prefix tokens and a grid of patches."""
    grid = stated_grid(kit, check, x.shape[1] - vit.num_prefix)
    block = vit.blocks[stated_block(kit, check, count=len(vit.blocks))]
    arguments = (grid, vit.num_prefix, vit.rope(grid))
    return {
        "x": block(x, *arguments),
        "attn": block.attn(x, *arguments),
        "small": block(0.003 * x, *arguments),
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
    options = kit.options
    model = build(options, tensors_of(kit), output_norm="last", out_indices=range(4))
    return ConvNeXtOutputs(load_kit(model, kit, "dinov3-convnext"), options.take("patch_size", None)).run


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
