"""Golden adapter of masked scene modelling (system ``msm``): the network, what goes before and after it."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.ops import hilbert_code, morton_code, unique_voxels
from dense3d.pointcloud.hunet import HUNet
from dense3d.pointcloud.sparse import (
    SparseLevel,
    SparsePyramid,
    build_pyramid,
    sample_level,
    voxelize_scene,
)
from dense3d.pointcloud.sparse.sampling import MODES
from dense3d.structures import PointCloud
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import load_kit

Found = dict[str, Tensor]
# what official lists of a level hold where a config leaves them out, encoder (finest first) and decoder
ENCODER = {
    "channels": ("channels", (32, 64, 128, 256, 384)),
    "resnet_layers": ("convs", (2,) * 5),
    "att_layers": ("attentions", (2,) * 5),
    "num_heads": ("num_heads", (2, 4, 8, 16, 32)),
    "window_sizes": ("windows", (1024,) * 5),
}
DECODER = {
    "channels": ("channels", (384, 256, 128, 96, 96)),
    "resnet_layers": ("convs", (2,) * 5),
    "att_layers": ("attentions", (2,) * 5),
    "num_heads": ("num_heads", (32, 16, 8, 4, 2)),
    "window_sizes": ("windows", (1024,) * 5),
}
CURVES = ("xyz_z-order", "yxz_z-order", "xyz_hilbert", "yxz_hilbert")
VOXEL_SIZE = 0.02


def open_kit(kit: GoldenKit) -> Run:
    """The network, the sampling of its features, and how scenes are prepared."""
    options = kit.options
    options.only("type", "MSM3D_EncDec")
    options.only("use_point_coords", False)
    options.neutral("freeze_encoder")
    for part in ("encoder", "decoder"):
        for name in ("weight_path", "weight_prefix", "weight_new_prefix"):
            options.only(f"{part}_{name}", None)
    model = load_kit(network_of(Options(options.take("encoder"), options.source)), kit, "msm-backbone")
    sample = sampler_of(options.take("decoder", None), len(model.out_levels), options.source)
    curves = model.encoder[0].style.curves

    def encoded(_check: dict, inputs: Found) -> Found:
        pyramid, features = pyramid_of(inputs, model.depth)
        rows = {f"indices_{i}": _indices(level).int() for i, level in enumerate(pyramid.levels)}
        return rows | _numbered(model.encode(pyramid, features))

    def stem_and_convolutions(_check: dict, inputs: Found) -> Found:
        stem = model.stem(inputs["feat"])
        level, x = SparseLevel(inputs["grid_coord"], scenes_of(inputs["offset"])), stem
        for block in model.encoder[0].convs:
            x = block(x, level)
        return {"stem": stem, "level0": x}

    def down(check: dict, inputs: Found) -> Found:
        number = _named(check, "down")
        indices = inputs["indices"]
        pyramid = build_pyramid(indices[:, 1:], indices[:, 0], depth=2)
        features = model.down[number](inputs["features"], pyramid.halvings[0])
        return {"indices": _indices(pyramid[1]).int(), "features": model.down_norm[number](features)}

    def attention(check: dict, inputs: Found) -> Found:
        level = SparseLevel(inputs["indices"][:, 1:], inputs["indices"][:, 0])
        block = model.encoder[_named(check, "att_enc")].attentions[0]
        return {"features": block(inputs["features"], level, curves[0])}

    def codes(_check: dict, inputs: Found) -> Found:
        scene, coords = inputs["indices"][:, 0].long(), inputs["indices"][:, 1:]
        code = torch.stack([scene << 48 | _code(coords, curve) for curve in curves])
        level = SparseLevel(coords, scene)
        order = torch.stack([level.order(curve) for curve in curves])
        ends = torch.tensor([0, *level.scene_ends])
        return {"code": code, "order": order.int(), "batch_offsets": ends.int()}

    def full(_check: dict, inputs: Found) -> Found:
        pyramid, features = pyramid_of(inputs, model.depth)
        levels, maps = [pyramid[index] for index in model.out_levels], model(pyramid, features)
        if sample is None:  # the finest map as it is, in the order of the input
            coords, scene = inputs["grid_coord"].long(), scenes_of(inputs["offset"])
            return {"features": maps[0][levels[0].hash.lookup(coords, scene)]}
        asked = "sample_" if "sample_grid_coord" in inputs else ""
        coords, scene = inputs[f"{asked}grid_coord"], scenes_of(inputs[f"{asked}offset"])
        return {"features": sample(levels, maps, coords, scene)}

    return by_name(
        {
            "curves": codes,
            "curve-codes": lambda _check, inputs: {
                "z": morton_code(inputs["coords"]),
                "hilbert": hilbert_code(inputs["coords"]),
            },
            "stem-resnet": stem_and_convolutions,
            "down": down,
            "attention": attention,
            "encoder": encoded,
            "decoder": lambda _check, inputs: _numbered(model(*pyramid_of(inputs, model.depth))),
            "interpolate-level": lambda _check, inputs: interpolated(inputs),
            "full": full,
            "preprocess": lambda _check, inputs: prepared(inputs),
            "preprocess-duplicates": lambda _check, inputs: prepared(inputs),
        }
    )


def network_of(options: Options) -> HUNet:
    """The network of ``MSM3D_Encoder``'s arguments."""
    options.only("type", "MSM3D_Encoder")
    encoder = _lists(options, "", ENCODER)
    decoder = _lists(options, "dec_", DECODER)
    if len(decoder["channels"]) != len(encoder["channels"]):
        raise options.refusal("dec_att_layers", decoder["attentions"], "one for each level of the encoder")
    if decoder["channels"][0] != encoder["channels"][-1]:
        raise options.refusal("dec_channels", decoder["channels"], "the first are the encoder's last")
    decoder = {f"decoder_{name}": values[::-1] for name, values in decoder.items()}  # coarsest first there
    curves, shuffles = options.take("att_space_filling_curves", CURVES), {False: "never", True: "always"}
    attends = any((*encoder["attentions"], *decoder["decoder_attentions"]))
    if options.take("shuffle_sfc", True) and attends and len(curves) > 1:
        raise options.refusal("shuffle_sfc", True, "the official order of curves is then another each time")
    network = HUNet(
        options.take("in_channels"),
        **encoder,
        **decoder,
        final_channels=options.take("out_channels"),
        block=options.take("att_block_type", "transformer++"),
        curves=curves,
        shuffle_curves=options.choose("shuffle_sfc", shuffles, True),
        drop_path=options.take("drop_path", 0.4),
        attn_drop=options.take("att_drop_prob", 0.0),
    )
    options.refuse_rest()
    return network


def _lists(options: Options, prefix: str, lists: dict[str, tuple[str, tuple]]) -> dict[str, tuple]:
    """Lists over levels, of which the attention layers tell the number; what others have beyond is unused."""
    number = len(options.take(f"{prefix}att_layers", lists["att_layers"][1]))
    found = {}
    for name, (ours, default) in lists.items():
        values = options.take(f"{prefix}{name}", default)
        # the official decoder finds neighbours by the length of its list of convolutions
        if len(values) < number or (len(values) != number and prefix and ours == "convs"):
            raise options.refusal(f"{prefix}{name}", values, f"there are {number} levels of att_layers")
        found[ours] = tuple(values[:number])
    return found


def sampler_of(config: dict | None, maps: int, source: object) -> Callable[..., Tensor] | None:
    """What ``MSM3D_InterpolationDecoder`` makes of so many maps; None without it."""
    if config is None:
        return None
    options = Options(config, source)
    options.only("type", "MSM3D_InterpolationDecoder")
    mode = options.choose("interpolation_method", {name: name for name in ("trilinear", "nearest")})
    used, widths = options.take("used_levels"), options.take("enc_features")
    blocks = options.take("block_size_levels", None) or widths
    options.refuse_rest()
    for name, values in (("used_levels", used), ("block_size_levels", blocks)):
        if len(values) < maps:
            raise options.refusal(name, values, f"the encoder gives {maps} maps")

    def sample(levels: list[SparseLevel], maps: list[Tensor], coords: Tensor, scene: Tensor) -> Tensor:
        found = []
        for index, (level, values) in enumerate(zip(levels, maps)):
            if used[index]:
                kept = values.shape[1] // blocks[index] * blocks[index]  # whole blocks of channels
                # the width is counted by the place in the list, also where a final layer shifts it
                found.append(sample_level(level, values[:, :kept], 2**index, coords, scene, mode))
        return torch.cat(found, dim=1)

    return sample


def pyramid_of(inputs: Found, depth: int) -> tuple[SparsePyramid, Tensor]:
    """Levels and the features of the finest one, all in the order of scene, x, y, z."""
    coords, scene = inputs["grid_coord"].long(), scenes_of(inputs["offset"])
    order = unique_voxels(coords, scene).inverse.argsort()
    return build_pyramid(coords[order], scene[order], depth), inputs["feat"][order]


def scenes_of(offset: Tensor) -> Tensor:
    """``(V,)`` scene of each row, from the ends ``(B,)`` of the scenes.

    Example:
        >>> scenes_of(torch.tensor([1, 3])).tolist()
        [0, 1, 1]
    """
    counts = offset.diff(prepend=offset.new_zeros(1))
    return torch.arange(len(offset)).repeat_interleave(counts)


def interpolated(inputs: Found) -> Found:
    """Both ways of sampling one level; points come scene after scene."""
    indices = inputs["indices"]
    order = indices[:, 0].sort(stable=True).indices
    level, values = SparseLevel(indices[order, 1:], indices[order, 0]), inputs["features"][order]
    asked = inputs["point_batch"].sort(stable=True)
    coords, scene = inputs["points"][asked.indices].long(), asked.values
    stride = int(inputs["stride"])
    return {mode: sample_level(level, values, stride, coords, scene, mode) for mode in MODES}


def prepared(inputs: Found) -> Found:
    """A scene's voxels in the official order, which is that of a hash of their indices."""
    arrays = {name: inputs[name].numpy() for name in inputs}
    colors = arrays["color"] / 255 if "color" in arrays else None
    scene = voxelize_scene(PointCloud(arrays["coord"], colors, arrays.get("normal")), VOXEL_SIZE)
    order = torch.from_numpy(np.argsort(hashed(scene.coords.numpy())))
    return {
        "coord": scene.points[scene.chosen[order]],
        "feat": scene.features[order],
        "grid_coord": scene.coords[order],
        "sample_grid_coord": scene.sample_coords,
        "offset": torch.tensor([len(scene)]),
        "sample_offset": torch.tensor([len(scene.sample_coords)]),
    }


def hashed(coords: np.ndarray) -> np.ndarray:
    """FNV hash ``(V,)`` of voxel indices, as the released code orders voxels."""
    keys = np.full(len(coords), 14695981039346656037, np.uint64)
    for column in coords.astype(np.uint64).T:
        keys = (keys * np.uint64(1099511628211)) ^ column
    return keys


def _code(coords: Tensor, curve: str) -> Tensor:
    axes, _, kind = curve.partition("_")
    return (morton_code if kind == "z-order" else hilbert_code)(coords, axes=axes)


def _indices(level: SparseLevel) -> Tensor:
    return torch.cat([level.scene[:, None], level.coords], dim=1)


def _numbered(maps: list[Tensor]) -> Found:
    return {f"level_{i}": values for i, values in enumerate(maps)}


def _named(check: dict, part: str) -> int:
    """The number behind ``encoder.<part>.`` in a check's note."""
    found = re.search(rf"encoder\.{part}\.(\d+)", check.get("note", ""))
    if not found:
        raise UnknownCheckError(f"the note of the check {check['name']!r} names no encoder.{part}.<number>")
    return int(found[1])
