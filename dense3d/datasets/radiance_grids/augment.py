"""Augmentation of radiance grids that takes their boxes along.

As NeRF-RPN and NeRF-MAE train with it (Hu et al., CVPR 2023; Irshad et al., ECCV 2024): quarter turns and
flips, and where there are boxes small turns and changes of scale. All are about the vertical. Classes of
voxels and finer grids, which are officially learnt without augmentation, are taken along as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.registry import TRANSFORMS
from dense3d.structures.boxes3d import boxes_of_corners


@TRANSFORMS.register_module()
class GridAugmentation(BaseTransform):
    """Turn, flip and scale the grid of a sample, and what is to be learnt of it.

    Reads and writes ``grid``, ``(4, X, Y, Z)``, and where there are ``gt_boxes``, ``(N, 7)`` in voxels,
    ``gt_voxel_labels``, ``(X, Y, Z)``, of which the nearest is taken, and ``gt_grid``, ``(4, X', Y', Z')`` of
    the same part of the world. Corners ``(N, 6)`` become boxes, and are not turned by less than 90 degrees.
    It runs only in training pipelines, and draws from NumPy's global generator.

    Args:
        quarter_turn: probability of a turn by 90 degrees.
        flip: probability of a flip of the first axis, and, drawn independently, of the second.
        turn_and_scale: probability of a small turn and a change of scale, where there are boxes.
        most_turn: radians, either way.
        scales: range of the factors.

    Raises:
        ConfigError: a probability is not in 0..1, a range is upside down, or a sample that may be turned by
            less than 90 degrees has a finer grid, which would have to be made anew from finer ones.

    Example:
        >>> grid, box = torch.rand(4, 6, 8, 4), torch.tensor([[1.0, 2.0, 2.0, 1.0, 3.0, 2.0, 0.2]])
        >>> turned, moved = GridAugmentation().apply(grid, box, quarter=True)
        >>> tuple(turned.shape), moved[0, :5].tolist()
        ((4, 8, 6, 4), [6.0, 1.0, 2.0, 3.0, 1.0])
    """

    def __init__(
        self,
        quarter_turn: float = 0.5,
        flip: float = 0.5,
        turn_and_scale: float = 0.5,
        most_turn: float = math.pi / 18,
        scales: tuple[float, float] = (0.9, 1.1),
    ) -> None:
        self.quarter_turn, self.flip, self.turn_and_scale = quarter_turn, flip, turn_and_scale
        self.most_turn, self.scales = most_turn, tuple(scales)
        for name in ("quarter_turn", "flip", "turn_and_scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name}={getattr(self, name)} of GridAugmentation: a probability is in 0..1"
                )
        if most_turn < 0 or not 0 < self.scales[0] <= self.scales[1]:
            raise ConfigError(
                f"most_turn={most_turn} and scales={self.scales} of GridAugmentation: give a turn not below "
                "0, and factors above 0 in ascending order"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment a sample by decisions that are drawn."""
        draws = np.random.random(4)
        angle = np.random.uniform(-self.most_turn, self.most_turn)
        scale = np.random.uniform(*self.scales)
        boxes = results.get("gt_boxes")
        own = None if boxes is None else torch.as_tensor(boxes)
        turns = own is not None and own.shape[1] == 7 and self.turn_and_scale > 0
        if turns and results.get("gt_grid") is not None:
            raise ConfigError(
                "GridAugmentation cannot turn and scale a finer grid (gt_grid) by less than 90 degrees: set "
                "its turn_and_scale=0, or leave boxes out"
            )
        turn = (angle, scale) if turns and draws[3] < self.turn_and_scale else None
        quarter, *flips = draws[:3] < np.array([self.quarter_turn, self.flip, self.flip])
        own = own if own is None or own.shape[1] == 7 else boxes_of_corners(own)
        results["grid"], own = self.apply(results["grid"], own, bool(quarter), tuple(flips), turn)
        if own is not None:
            results["gt_boxes"] = own if isinstance(boxes, Tensor) else own.numpy()
        for name in ("gt_voxel_labels", "gt_grid"):
            if results.get(name) is not None:
                moved = quartered(torch.as_tensor(results[name]), bool(quarter), tuple(flips))
                moved = moved if turn is None else _resampled(moved[None], *turn, mode="nearest")[0].long()
                results[name] = moved.contiguous()
        return results

    def apply(
        self,
        grid: Tensor,
        boxes: Tensor | None = None,
        quarter: bool = False,
        flips: tuple[bool, bool] = (False, False),
        turn: tuple[float, float] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Augment by given decisions, in the order of the arguments.

        Args:
            grid: ``(C, X, Y, Z)``.
            boxes: ``(N, 7)`` in voxels.
            quarter: turn by 90 degrees; X and Y change places.
            flips: of the first axis, and of the second.
            turn: radians of a small turn and factor of scale, the grid's sides staying as they are.

        Returns:
            the new grid and boxes; the given ones are left alone.
        """
        boxes = None if boxes is None else boxes.clone()
        grid = quartered(grid, quarter, flips)
        if boxes is not None and quarter:
            boxes = boxes[:, [1, 0, 2, 4, 3, 5, 6]]
            boxes[:, 0] = grid.shape[1] - boxes[:, 0]
        for axis, flipped in enumerate(flips):
            if boxes is not None and flipped:
                boxes[:, axis] = grid.shape[axis + 1] - boxes[:, axis]
                boxes[:, 6] = -boxes[:, 6]
        if turn is not None:
            grid = _resampled(grid, *turn)
            boxes = None if boxes is None else _moved(boxes, grid.shape[1:], *turn)
        return grid.contiguous(), boxes

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


def quartered(values: Tensor, quarter: bool, flips: tuple[bool, bool]) -> Tensor:
    """Voxels ``(..., X, Y, Z)`` turned by 90 degrees, then flipped along the first and the second axis.

    Example:
        >>> quartered(torch.tensor([[[0], [1]], [[2], [3]]]), True, (False, False))[..., 0].tolist()
        [[1, 3], [0, 2]]
    """
    values = values.transpose(-3, -2).flip(-3) if quarter else values
    axes = [axis for axis, flipped in zip((-3, -2), flips) if flipped]
    return values.flip(axes) if axes else values


def _resampled(grid: Tensor, angle: float, scale: float, mode: str = "bilinear") -> Tensor:
    """``(C, X, Y, Z)`` read off at places turned by ``angle`` and scaled about the middle; zeros outside."""
    half = torch.tensor(grid.shape[1:], dtype=torch.float32) / 2
    axes = [torch.linspace(-1, 1, side) * middle for side, middle in zip(grid.shape[1:], half)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # (X, Y, Z, 3)
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) * scale
    places = places @ rotation.T / half
    # grid_sample counts the last axis first
    places = places.flip(-1)[None]
    return F.grid_sample(grid.float()[None], places, mode, padding_mode="zeros", align_corners=True)[0]


def _moved(boxes: Tensor, shape: tuple[int, ...], angle: float, scale: float) -> Tensor:
    """Boxes of a scene that :func:`_resampled` has turned the other way and made smaller by ``scale``."""
    middle = boxes.new_tensor(shape) / 2
    x, y, z = (boxes[:, :3] - middle).unbind(1)
    cosine, sine = math.cos(angle), math.sin(angle)
    centres = torch.stack([x * cosine + y * sine, y * cosine - x * sine, z], 1) / scale + middle
    return torch.cat([centres, boxes[:, 3:6] / scale, boxes[:, 6:] - angle], 1)
