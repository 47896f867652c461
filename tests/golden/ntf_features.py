"""Golden adapter of the features of neural transfer functions (system ``ntf``)."""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones import VisionTransformer
from dense3d.transfer_function.features.extraction import extract_features, normalised
from dense3d.transfer_function.features.keys import PARTS, KeyNetwork
from dense3d.transfer_function.features.settings import FeatureSettings
from dense3d.transfer_function.features.sizes import feature_cells, image_sizes, slice_axes
from dense3d.transfer_function.features.slices import SliceImages
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.dino import v2_architecture, v3_architecture
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import load_kit, tensors_of

AXES = {"x": 0, "y": 1, "z": 2}


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and load its weights."""
    kit.options.neutral("volume_shape", "feature_output_size")  # the checks' inputs say them
    order = tuple(AXES[name] for name in kit.options.take("slice_order", ["z", "y", "x"]))
    vit = _network(kit)

    def settings(inputs: dict[str, Tensor], **changes) -> FeatureSettings:
        size = int(inputs["feature_output_size"])
        return FeatureSettings(**{"size": size, "axes": order, "official_sizes": True} | changes)

    def features(inputs: dict[str, Tensor], part: str = "k", **changes) -> Tensor:
        return extract_features(inputs["volume"].numpy(), KeyNetwork(vit, part), settings(inputs, **changes))

    def sizes(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        rows = zip(inputs["shape"].tolist(), inputs["feature_output_size"].tolist())
        cells = [feature_cells(shape, size, official=True) for shape, size in rows]
        images = [image_sizes(c, p) for c, p in zip(cells, inputs["patch_size"].tolist())]
        return {"feature_size": torch.tensor(cells).float(), "image_size": torch.tensor(images).float()}

    def slices(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        axis = _axis(check)
        sides = [0, 0, 0]
        for a, side in zip(slice_axes(axis), inputs["image_size"].tolist()):
            sides[a] = side
        images = SliceImages(inputs["volume"].numpy(), sides)(axis, inputs["slice_index"].tolist())
        tokens, grid = vit.embed(images)
        last = vit.blocks[-1]
        entering = last.norm1(vit.run_blocks(tokens, grid, 0, len(vit.blocks) - 1))
        found = {
            "image": images[:1],
            "block0": vit.run_blocks(tokens[:1], grid, 0, 1),
            "qkv": F.linear(entering, last.attn.qkv.weight, last.attn._bias()),
        }
        if vit.pos_embed is not None:
            table = vit.position_table(grid)
            position = tensors_of(kit)["pos_embed"][:, : -vit.pos_embed.shape[1]]
            found["pos_embed"] = torch.cat([position, table], dim=1)
        return found

    def axes(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        named = [(name, *re.fullmatch(r"key_([xyz])", name).groups()) for name in check["outputs"]]
        return {name: features(inputs, axes=(AXES[axis],)) for name, axis in named}

    def merged(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found = features(inputs)
        return {"features": found, "normalised": normalised(found)}

    def merged_half(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.half().float() for name, value in merged(check, inputs).items()}

    def single_axis(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        changes = dict(axes=(_axis(check),), pooled=False)
        return {part: features(inputs, part, **changes) for part in PARTS if part in check["outputs"]}

    rules = {"sizes": sizes, "slices": slices, "axes": axes, "merged": merged, "merged_half": merged_half}
    return by_name(rules | {"single_axis_qkv": single_axis, "single_axis": single_axis})


def _axis(check: dict) -> int:
    """The axis that a check's name ends in, or that its note says slices lie along or across."""
    named = re.search(r"_([xyz])(?![a-z])", check["name"])
    noted = re.search(r"along ([xyz])\b", check["note"])
    numbered = re.search(r"array axis ([012])", check["note"])
    if named or noted:
        return AXES[(named or noted)[1]]
    if numbered:
        return int(numbered[1])
    raise UnknownCheckError(f"neither name nor note of the check {check['name']!r} say along which axis")


def _network(kit: GoldenKit) -> VisionTransformer:
    """The official transformer: DINO, or DINOv2 or DINOv3 where the parameters are theirs."""
    options = Options(kit.options.take("model"), kit.folder)
    names = {name for name, _, _ in kit.meta["params"]}
    epsilon = kit.options.take("layer_norm_eps", None)
    if "rope_embed.periods" in names:
        system, arch = "dinov3", v3_architecture(options)
    elif "mask_token" in names:
        system, arch = "dinov2", v2_architecture(options)
    else:
        system, arch = "dino", _architecture(options)
    options.refuse_rest()
    if epsilon is not None:
        arch["norm_eps"] = float(epsilon)
    return load_kit(VisionTransformer(arch), kit, system)


def _architecture(options: Options) -> dict:
    """Arguments of DINO's ``VisionTransformer`` with its defaults."""
    take = options.take
    options.neutral("drop_rate", "attn_drop_rate", "drop_path_rate", "num_classes")
    options.only("norm_layer", None, "LayerNorm", "layernorm")  # layer_norm_eps says what is left of it
    sides = take("img_size", [224])  # the official code reads the first of the list
    return dict(
        embed_dim=take("embed_dim", 768),
        depth=take("depth", 12),
        num_heads=take("num_heads", 12),
        patch_size=take("patch_size", 16),
        pretrain_size=sides if isinstance(sides, int) else sides[0],
        in_channels=take("in_chans", 3),
        mlp_ratio=take("mlp_ratio", 4.0),
        qkv_bias="full" if take("qkv_bias", False) else "none",
        qk_scale=take("qk_scale", None) or None,
        position_offset=0.1,
        norm_eps=1e-5,
    )
