"""Boxes that a detector found in a radiance grid: in voxels, in the world, in a picture from above."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from dense3d.errors import DataError
from dense3d.files import atomic_write, require_writable_file
from dense3d.structures.boxes3d import Boxes3D

if TYPE_CHECKING:
    from dense3d.structures.radiance_grid import RadianceGrid

PICTURE = 640  # pixels of the longer side
BACKGROUND = 1.0
BEST, WORST = np.array([214, 60, 40]), np.array([240, 190, 70])


@dataclass(frozen=True, eq=False)
class GridBoxesResult:
    """Boxes of one grid, the best first.

    Attributes:
        name: of the grid, for people.
        grid: of colour and opacity.
        boxes: ``(K, 7)`` float32 in voxels: centre, sizes, yaw.
        scores: ``(K,)`` in 0..1.
        path: the grid's file.
        error: why there is no prediction.
    """

    name: str
    grid: RadianceGrid | None = None
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 7), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    path: Path | None = None
    error: str | None = None

    def __str__(self) -> str:
        """A few words on what was found."""
        return f"{self.name}: no prediction, {self.error}" if self.error else f"{len(self.boxes)} boxes"

    def __repr__(self) -> str:
        return f"<GridBoxesResult {Path(self.name).name}: {self}>"

    @property
    def world_boxes(self) -> np.ndarray:
        """``(K, 7)`` boxes in the world that the grid was extracted from, as far as its file tells it."""
        self._require_prediction()
        return self.grid.boxes_to_world(self.boxes)

    def rows(self) -> list[dict[str, Any]]:
        """Plain values of each box: score, and centre, sizes and yaw in voxels and in the world."""
        self._require_prediction()
        return [
            {"score": round(float(score), 4), "voxels": _row(voxels), "world": _row(world)}
            for score, voxels, world in zip(self.scores, self.boxes, self.world_boxes)
        ]

    def plot(self) -> np.ndarray:
        """The grid seen from above with the boxes' footprints, ``(H, W, 3)`` RGB uint8: x to the right, y up.

        Raises:
            DataError: there is no prediction.
        """
        self._require_prediction()
        view = from_above(self.grid.rgb, self.grid.density)
        factor = PICTURE / max(view.shape[:2])
        size = (round(view.shape[1] * factor), round(view.shape[0] * factor))
        picture = cv2.resize(view, size, interpolation=cv2.INTER_NEAREST)
        footprints = Boxes3D(torch.from_numpy(self.boxes), "world").footprint_corners().numpy() * factor
        footprints[..., 1] = size[1] - footprints[..., 1]
        for corners, score in reversed(list(zip(footprints, self.scores))):  # the best on top
            colour = tuple(int(v) for v in score * BEST + (1 - score) * WORST)
            cv2.polylines(picture, [corners.round().astype(np.int32)], True, colour, 2, cv2.LINE_AA)
            ahead = np.stack([corners.mean(0), corners[[0, 3]].mean(0)]).round().astype(np.int32)
            cv2.line(picture, tuple(ahead[0].tolist()), tuple(ahead[1].tolist()), colour, 1, cv2.LINE_AA)
        return picture

    def save(self, path: str | Path) -> Path:
        """Write the picture, ``.png`` or ``.jpg``, or the rows as ``.json``; whole or not at all.

        Raises:
            DataError: there is no prediction, or another suffix.
            ConfigError: nothing can be written there.
        """
        path = Path(path)
        if path.suffix == ".json":
            content = json.dumps(self.rows()).encode()
        elif path.suffix in (".png", ".jpg"):
            content = cv2.imencode(path.suffix, np.ascontiguousarray(self.plot()[..., ::-1]))[1].tobytes()
        else:
            raise DataError(f"{path}: boxes of a grid are written as .png, .jpg or .json")
        require_writable_file(path)
        with atomic_write(path) as file:
            file.write(content)
        return path

    def _require_prediction(self) -> None:
        if self.error is not None:
            raise DataError(self.error)


def from_above(colour: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """What a camera far above sees, ``(Y, X, 3)`` uint8, the first row at the greatest y; white behind it.

    Args:
        colour: ``(X, Y, Z, 3)`` in 0..1.
        opacity: ``(X, Y, Z)`` in 0..1.

    Example:
        >>> from_above(np.zeros((2, 1, 3, 3)), np.zeros((2, 1, 3))).tolist()
        [[[255, 255, 255], [255, 255, 255]]]
    """
    downwards = opacity[:, :, ::-1]
    left = np.cumprod(1 - downwards, axis=2)
    before = np.concatenate([np.ones_like(left[:, :, :1]), left[:, :, :-1]], axis=2)
    seen = ((downwards * before)[..., None] * colour[:, :, ::-1]).sum(2) + left[:, :, -1:] * BACKGROUND
    return np.ascontiguousarray((seen.clip(0, 1) * 255).round().astype(np.uint8).swapaxes(0, 1)[::-1])


def _row(box: np.ndarray) -> dict[str, Any]:
    values = [round(float(value), 4) for value in box]
    return {"center": values[:3], "size": values[3:6], "yaw": values[6]}
