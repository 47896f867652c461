"""Suite ``scenes``: sparse voxels of rooms beside straightforward torch, and spconv where it is installed.

The network is the released large one, with random weights; ``images/s`` counts rooms. The room of a million
points is for time and memory alone: ``dense3d benchmark scenes encode_million --repeats 1``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.errors import OperatorUnavailableError
from dense3d.ops import (
    ConvRules,
    cube_offsets,
    select_backend,
    sparse_conv,
    sparse_conv_reference,
    unique_voxels,
)
from dense3d.ops.banded import band_attention_reference
from dense3d.pointcloud.sparse import SparseLevel, SparsePyramid, attention, build_pyramid, sample_levels
from dense3d.pointcloud.sparse.scenes import VoxelScene, voxelize_scene
from dense3d.structures import PointCloud


@lru_cache(maxsize=2)
def room_scene(number: int) -> VoxelScene:
    """A furnished synthetic room of so many points, in voxels of 2 cm."""
    from dense3d.datasets.synthetic.rooms.sampling import make_room

    room = make_room(np.random.default_rng(0), number)
    return voxelize_scene(PointCloud(room.points, np.asarray(room.colors) / 255, room.normals))


def convolution(device: torch.device, number: int, channels: int) -> Workload:
    level = SparseLevel(room_scene(number).coords.to(device))
    features = torch.randn(len(level), channels, device=device)
    weight = torch.randn(channels, 27, channels, device=device) / channels
    neighbours = _neighbours(level)
    contenders = {
        OURS: lambda x, w: sparse_conv(x, w, level.cube_rules, "torch"),
        "torch, tap by tap": lambda x, w: sparse_conv_reference(x, w, level.cube_rules),
        "torch, 27 neighbours at once": lambda x, w: _at_once(x, w, neighbours),
    }
    with contextlib.suppress(OperatorUnavailableError):
        select_backend("sparse_conv", device.type, "spconv")
        contenders["spconv, gradient of torch"] = lambda x, w: sparse_conv(x, w, level.cube_rules, "spconv")
    return Workload((features, weight), contenders, leaves=(0, 1))


def encoding(device: torch.device, number: int, plain: bool, **network: object) -> Workload:
    """Levels, neighbours and orders of a room's voxels, and its encoder."""
    from dense3d.pointcloud import HUNet

    scene, model = room_scene(number), HUNet(**network).to(device).eval()
    print(f"a room of {number:,} points: {len(scene):,} voxels")

    def encode(coords: Tensor, features: Tensor) -> Tensor:
        return model.encode(build_pyramid(coords, depth=model.depth), features)[-1]

    contenders: dict[str, Callable] = {OURS: encode}
    if plain:
        contenders["torch, plain"] = lambda *scene: _plainly(encode, *scene)
    inputs = (scene.coords.to(device), scene.features.to(device))
    return Workload(inputs, contenders, images=1)


def sampling(device: torch.device, number: int, channels: tuple[int, ...]) -> Workload:
    coords = room_scene(number).coords.to(device)
    pyramid = build_pyramid(coords, depth=len(channels))
    maps = [torch.randn(len(level), c, device=device) for level, c in zip(pyramid.levels, channels)]
    contenders = {
        OURS: lambda places: sample_levels(pyramid, maps, places),
        "torch, grid_sample of dense grids": lambda places: _from_dense_grids(pyramid, maps, places),
    }
    return Workload((coords,), contenders, images=1)


def _neighbours(level: SparseLevel) -> Tensor:
    """``(V, 27)``, one more than the last voxel where there is none."""
    found = level.hash.neighbours(cube_offsets(device=level.coords.device))
    return torch.where(found < 0, len(level), found)


def _at_once(features: Tensor, weight: Tensor, neighbours: Tensor) -> Tensor:
    padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
    return padded[neighbours].flatten(1) @ weight.permute(1, 2, 0).flatten(0, 1)


@contextlib.contextmanager
def _plain_parts() -> Iterator[None]:
    """Each convolution searches its own neighbours; attention has tables of all voxels by all voxels."""

    def rules(level: SparseLevel) -> ConvRules:
        rows = torch.cat([level.scene[:, None], level.coords], 1)
        size = int(level.coords.max()) + 3
        keys = ((rows[:, 0] * size + rows[:, 1] + 1) * size + rows[:, 2] + 1) * size + rows[:, 3] + 1
        ordered, order = keys.sort()
        steps = []
        for tap, (x, y, z) in enumerate(cube_offsets().tolist()):
            wanted = keys + (x * size + y) * size + z
            place = torch.searchsorted(ordered, wanted).clamp(max=len(keys) - 1)
            here = (ordered[place] == wanted).nonzero()[:, 0]
            steps.append((tap, here, order[place[here]]))
        return ConvRules(steps, len(keys), len(keys))

    def attend(*scene: Tensor, reach: int, scale: float, dropout: float) -> Tensor:
        return band_attention_reference(*scene, reach, scale)

    layers = "dense3d.pointcloud.sparse.convolution"
    with (
        mock.patch.object(SparseLevel, "cube_rules", property(rules)),
        mock.patch(f"{layers}.sparse_conv", sparse_conv_reference),
        mock.patch.object(attention, "band_attention", attend),
    ):
        yield


def _plainly(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    with _plain_parts():
        return function(*inputs)


def _from_dense_grids(pyramid: SparsePyramid, maps: list[Tensor], coords: Tensor) -> Tensor:
    """As the released code does, in blocks of 16 channels; all of one scene."""
    places, found = unique_voxels(coords), []
    for number, (level, values) in enumerate(zip(pyramid.levels, maps)):
        size = level.coords.amax(dim=0) + 1
        place = (2 * (places.coordinates + 0.5) / 2**number / size - 1).flip(1)[None, :, None, None]
        for block in values.split(16, dim=1):
            grid = values.new_zeros(*size.tolist(), block.shape[1])
            grid[tuple(level.coords.T)] = block
            sampled = F.grid_sample(grid.permute(3, 0, 1, 2)[None], place.float(), align_corners=True)
            found.append(sampled[0, :, :, 0, 0].T)
    return torch.cat(found, dim=1)[places.inverse]


_TINY = dict(
    in_channels=6,
    channels=(8, 16),
    convs=(1, 1),
    attentions=(0, 1),
    num_heads=(1, 2),
    windows=(32, 32),
    decoder_channels=(8, 16),
    decoder_convs=(1, 1),
    decoder_attentions=(0, 1),
    decoder_num_heads=(1, 2),
    decoder_windows=(32, 32),
)
_CHANNELS = (64, 96, 128, 256, 384)
CASES = [
    Case(
        "sparse_conv",
        convolution,
        {"room of 100,000 points, 64 channels": {"number": 100_000, "channels": 64}},
        {"number": 500, "channels": 4},
    ),
    Case(
        "encode",
        encoding,
        {"room of 100,000 points": {"number": 100_000, "plain": True}},
        {"number": 500, "plain": True, **_TINY},
    ),
    Case(
        "encode_million",
        encoding,
        {"room of 1,000,000 points": {"number": 1_000_000, "plain": False}},
        {"number": 500, "plain": False, **_TINY},
    ),
    Case(
        "sample",
        sampling,
        {"room of 100,000 points, 928 channels": {"number": 100_000, "channels": _CHANNELS}},
        {"number": 500, "channels": (3, 5)},
    ),
]
