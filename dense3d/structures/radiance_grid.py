"""A radiance field sampled on a grid: colour and density of a scene's voxels, with their place in the world.

The layout of NeRF-RPN and NeRF-MAE (arXiv:2211.11646, arXiv:2404.01300), with the meaning of the density kept
beside it: their files do not tell whether it is an opacity already, and converting twice ruins a grid unseen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError

DENSITY_KINDS = ("raw_exp", "relu", "alpha")
OCCUPIED = 0.01  # alpha above which a voxel counts as occupied, in losses and in metrics
DELTA = 0.01  # length of a step in the frame of the released fields
EMPTY_RAW = -10000.0  # raw density that the released grids have where nothing is


@dataclass(frozen=True, eq=False)
class RadianceGrid:
    """Colour and density of ``(W, L, H)`` voxels along x, y and z of a world with z up.

    Args:
        rgbsigma: ``(W, L, H, 4)`` red, green, blue in [0, 1] and density, float32; or uint8, of which 255
            stands for 1 and whose density is an opacity.
        bbox_min: ``(3,)`` world position of the low corner; zeros unless given.
        bbox_max: ``(3,)`` of the high corner; the number of voxels unless given, the world is then measured
            in voxels.
        density_kind: ``"raw_exp"``, what a field has before its exponential; ``"relu"``, density that is cut
            off at 0; ``"alpha"``, opacity in [0, 1].
        delta: length of the step that an opacity is for, in the unit of the density.
        scale, offset: of the field's own frame, ``field = world * scale + offset``; kept as they are.
        from_mitsuba: whether the field's world was Mitsuba's; kept as it is.
        source: the file, for messages.

    Raises:
        DataError: no four channels, an empty axis, numbers that are not finite, an unknown kind, corners in
            the wrong order, or 8-bit numbers that are said to be a density.

    Example:
        >>> grid = RadianceGrid(np.zeros((4, 2, 6, 4), np.float32), density_kind="raw_exp")
        >>> grid.resolution, round(float(grid.to_alpha().density.max()), 5)
        ((4, 2, 6), 0.00995)
    """

    rgbsigma: np.ndarray
    bbox_min: np.ndarray | None = None
    bbox_max: np.ndarray | None = None
    density_kind: str = "alpha"
    delta: float = DELTA
    scale: float = 1.0
    offset: np.ndarray | None = None
    from_mitsuba: bool = False
    source: str = "the grid"

    def __post_init__(self) -> None:
        _check_values(self.rgbsigma, self.density_kind, self.source)
        shape = self.rgbsigma.shape[:3]
        fill = {"bbox_min": np.zeros(3), "bbox_max": np.array(shape, float), "offset": np.zeros(3)}
        for name, default in fill.items():
            value = getattr(self, name)
            value = default if value is None else np.asarray(value, np.float64).reshape(-1)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise DataError(f"{self.source}: {name} must be three finite numbers, not {value.tolist()}")
            object.__setattr__(self, name, value)
        if not (self.bbox_max > self.bbox_min).all():
            raise DataError(
                f"{self.source}: bbox_max {self.bbox_max.tolist()} is not above bbox_min "
                f"{self.bbox_min.tolist()} on every axis; correct the box"
            )
        if not 0 < self.delta < np.inf:
            raise DataError(
                f"{self.source}: delta={self.delta} must be finite and above 0, the length of a step"
            )

    @property
    def resolution(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        return tuple(int(n) for n in self.rgbsigma.shape[:3])

    @property
    def is_alpha(self) -> bool:
        """Whether the density is an opacity."""
        return self.density_kind == "alpha"

    @property
    def voxel_size(self) -> np.ndarray:
        """``(3,)`` world length of a voxel along each axis, as the released code counts them."""
        return (self.bbox_max - self.bbox_min) / np.array(self.resolution)

    @property
    def rgb(self) -> np.ndarray:
        """``(W, L, H, 3)`` float32 in [0, 1]."""
        return _as_float(self.rgbsigma[..., :3])

    @property
    def density(self) -> np.ndarray:
        """``(W, L, H)`` float32, in the unit of :attr:`density_kind`."""
        return _as_float(self.rgbsigma[..., 3])

    @property
    def occupied(self) -> np.ndarray:
        """``(W, L, H)`` bool: where the opacity is above 0.01.

        Raises:
            DataError: the density is no opacity.
        """
        self._require_alpha("which voxels are occupied")
        return self.density > OCCUPIED

    def to_alpha(self) -> RadianceGrid:
        """The grid with opacity ``clip(1 - exp(-sigma * delta), 0, 1)`` in place of its density.

        Raises:
            DataError: it is one already: a second conversion would leave a grid of next to nothing.
        """
        if self.is_alpha:
            raise DataError(
                f"{self.source} holds opacity already, and converting it once more would make it almost "
                "transparent; leave to_alpha() (or normalize_density) out"
            )
        values = np.array(self.rgbsigma, np.float32)
        values[..., 3] = alpha_of(values[..., 3], self.density_kind, self.delta)
        return replace(self, rgbsigma=values, density_kind="alpha")

    def as_alpha(self) -> RadianceGrid:
        """:meth:`to_alpha` where it is due, the grid itself where its own record says that it is not."""
        return self if self.is_alpha else self.to_alpha()

    def require_occupied(self) -> RadianceGrid:
        """The grid itself, if anything is in it.

        Raises:
            DataError: no voxel has an opacity above 0.01; or the density is no opacity.
        """
        if not self.occupied.any():
            raise DataError(
                f"{self.source}: no voxel has an opacity above {OCCUPIED}, so there is nothing in the grid; "
                "was its density converted twice, or its box placed elsewhere?"
            )
        return self

    def to_tensor(self) -> Tensor:
        """``(4, W, L, H)`` float32 of colour and opacity in [0, 1]: what networks take.

        Raises:
            DataError: the density is no opacity.
        """
        self._require_alpha("the input of a network")
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(_as_float(self.rgbsigma), 3, 0)))

    def to_uint8(self) -> RadianceGrid:
        """The grid in 8 bits a channel, a quarter of the size.

        Raises:
            DataError: the density is no opacity.
        """
        self._require_alpha("a grid of 8 bits")
        if self.rgbsigma.dtype == np.uint8:
            return self
        return replace(self, rgbsigma=np.round(np.clip(self.rgbsigma, 0, 1) * 255).astype(np.uint8))

    def voxel_to_world(self, points: np.ndarray) -> np.ndarray:
        """Positions of box coordinates: ``p / resolution * (bbox_max - bbox_min) + bbox_min``.

        The released code's rule. A *sample* with index i lies elsewhere by up to a voxel, see
        :meth:`sample_positions`.

        Args:
            points: ``(..., 3)`` in voxels.
        """
        return np.asarray(points, np.float64) * self.voxel_size + self.bbox_min

    def world_to_voxel(self, points: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`voxel_to_world`."""
        return (np.asarray(points, np.float64) - self.bbox_min) / self.voxel_size

    def sample_positions(self) -> np.ndarray:
        """``(W, L, H, 3)`` world positions of the samples, which reach from corner to corner.

        ``bbox_min + i / (n - 1) * (bbox_max - bbox_min)``; an axis of one voxel has its sample at the low
        end.
        """
        axes = [np.linspace(a, b, n) for a, b, n in zip(self.bbox_min, self.bbox_max, self.resolution)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1)

    def boxes_to_world(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of voxels as boxes of the world.

        Where voxels are not cubes a turned box becomes the upright one with its axes' lengths and heading.

        Args:
            boxes: ``(N, 6)`` low and high corner, or ``(N, 7)`` centre, sizes along the heading, across and
                upwards, and the yaw in radians.
        """
        return _scaled_boxes(np.asarray(boxes, np.float64), self.voxel_size, self.voxel_to_world)

    def boxes_to_voxel(self, boxes: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`boxes_to_world`."""
        return _scaled_boxes(np.asarray(boxes, np.float64), 1 / self.voxel_size, self.world_to_voxel)

    @classmethod
    def load(
        cls, path: str | os.PathLike, density_kind: str | None = None, delta: float | None = None
    ) -> RadianceGrid:
        """Read a ``.npz`` of the released layout; see :func:`~.radiance_grid_files.read_grid`."""
        from dense3d.structures.radiance_grid_files import read_grid

        return read_grid(path, density_kind, delta)

    def save(self, path: str | os.PathLike, compressed: bool = False) -> None:
        """Write a ``.npz`` of the released layout, whole or not at all; 8 bits stay 8 bits."""
        from dense3d.structures.radiance_grid_files import write_grid

        write_grid(self, path, compressed)

    def _require_alpha(self, use: str) -> None:
        if not self.is_alpha:
            raise DataError(
                f"{self.source} holds density of the kind {self.density_kind!r}; {use} needs opacity: call "
                "to_alpha()"
            )


def alpha_of(density: np.ndarray, density_kind: str, delta: float = DELTA) -> np.ndarray:
    """Opacity of a step of length ``delta``.

    Args:
        density: any shape.
        density_kind: ``"raw_exp"`` or ``"relu"``.
        delta: length of the step.

    Returns:
        float32 in [0, 1], of the same shape.

    Example:
        >>> alpha_of(np.array([-10000.0, 0.0]), "raw_exp").round(5).tolist()
        [0.0, 0.009949999861419201]
    """
    density = np.asarray(density, np.float32)
    with np.errstate(over="ignore"):  # where exp overflows, the voxel is opaque
        sigma = np.exp(density) if density_kind == "raw_exp" else np.maximum(density, 0)
        return np.clip(-np.expm1(-sigma * np.float32(delta)), 0, 1).astype(np.float32)


def _as_float(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255)
    return values.astype(np.float32, copy=False)


def _check_values(values: np.ndarray, density_kind: str, source: str) -> None:
    if values.ndim != 4 or values.shape[3] != 4:
        raise DataError(
            f"{source}: a radiance grid is of (W, L, H, 4) numbers, red, green, blue and density; this is "
            f"of {tuple(values.shape)}"
        )
    if 0 in values.shape:
        raise DataError(f"{source}: the grid has no voxels, its shape is {tuple(values.shape)}")
    if density_kind not in DENSITY_KINDS:
        raise DataError(f"{source}: density_kind={density_kind!r}: use one of {', '.join(DENSITY_KINDS)}")
    if values.dtype == np.uint8:
        if density_kind != "alpha":
            raise DataError(
                f"{source}: a grid of 8 bits holds opacity, so its density_kind is 'alpha', not "
                f"{density_kind!r}"
            )
        return
    if values.dtype.kind != "f":
        raise DataError(f"{source}: a radiance grid is of uint8 or floating numbers, not {values.dtype}")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(-1).sum())
        raise DataError(
            f"{source}: {bad} of {values[..., 0].size} voxels are NaN or infinite; extract the grid again, "
            "or set their density to that of empty space"
        )
    if density_kind == "alpha" and not (values[..., 3].min() >= -1e-4 and values[..., 3].max() <= 1 + 1e-4):
        raise DataError(
            f"{source}: opacity lies in [0, 1], but the last channel is from {values[..., 3].min():.4g} to "
            f"{values[..., 3].max():.4g}: its density_kind is 'raw_exp' or 'relu'"
        )


def _scaled_boxes(boxes: np.ndarray, factors: np.ndarray, move) -> np.ndarray:
    if boxes.ndim != 2 or boxes.shape[1] not in (6, 7):
        raise DataError(f"boxes must be (N, 6) or (N, 7), not {boxes.shape}")
    if boxes.shape[1] == 6:
        return np.concatenate([move(boxes[:, :3]), move(boxes[:, 3:])], axis=1)
    cosine, sine = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    along = np.hypot(cosine * factors[0], sine * factors[1])  # length of the heading's unit vector
    across = np.hypot(sine * factors[0], cosine * factors[1])
    yaw = np.arctan2(sine * factors[1], cosine * factors[0])
    sizes = boxes[:, 3:6] * np.stack([along, across, np.full(len(boxes), factors[2])], axis=1)
    return np.concatenate([move(boxes[:, :3]), sizes, yaw[:, None]], axis=1)
