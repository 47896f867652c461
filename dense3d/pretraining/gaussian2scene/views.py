"""Photographs with cameras beside a batch of clouds, and where points of the clouds lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.errors import DataError

PROJECTIONS = ("exact", "pimae")
PIMAE_SIZE = (730, 530)  # width and height to which PiMAE resizes the photographs of SUN RGB-D
UNSEEN = -1.0  # normalised coordinate of a point behind the camera


class SceneViews(NamedTuple):
    """Photographs of B scenes, V of each, in the frame of the clouds.

    Attributes:
        images: ``(B, V, 3, H, W)``, normalised RGB.
        world_to_camera: ``(B, V, 4, 4)``, OpenCV axes (x right, y down, z forward). It may scale.
        intrinsics: ``(B, V, 3, 3)``, pixels of these images; whole numbers are centres of pixels.
        depths: ``(B, V, H, W)`` along the optical axis in metres, 0 where unknown; or None.
    """

    images: Tensor
    world_to_camera: Tensor
    intrinsics: Tensor
    depths: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.images.shape[-2], self.images.shape[-1]


def views_of(inputs: Mapping[str, Tensor | None], scenes: int) -> SceneViews:
    """The photographs of a batch.

    Args:
        inputs: with ``images``, ``world_to_camera`` and ``intrinsics``, and perhaps ``depths``.
        scenes: B, clouds of the batch.

    Raises:
        DataError: something is missing, or shapes do not go together.

    Example:
        >>> camera = dict(world_to_camera=torch.eye(4)[None, None], intrinsics=torch.eye(3)[None, None])
        >>> views_of(dict(images=torch.zeros(1, 1, 3, 4, 6), **camera), scenes=1).size
        (4, 6)
    """
    missing = [k for k in ("images", "world_to_camera", "intrinsics") if inputs.get(k) is None]
    if missing:
        raise DataError(
            f"the scenes came without {missing[0]}: pre-training on scenes needs photographs with cameras, "
            "see PackSceneInputs"
        )
    found = SceneViews(*(inputs.get(name) for name in SceneViews._fields))
    images = found.images
    if images.ndim != 5 or images.shape[2] != 3 or len(images) != scenes:
        raise DataError(f"photographs of {scenes} scenes are (B, V, 3, H, W), not {tuple(images.shape)}")
    lead = images.shape[:2]
    for name, tail in (("world_to_camera", (4, 4)), ("intrinsics", (3, 3)), ("depths", found.size)):
        value = getattr(found, name)
        if value is not None and value.shape != (*lead, *tail):
            raise DataError(f"{name} is {tuple(value.shape)}, and {(*lead, *tail)} goes with these images")
    return found


def project_points(
    points: Tensor, world_to_camera: Tensor, intrinsics: Tensor, size: tuple[int, int], kind: str = "exact"
) -> tuple[Tensor, Tensor]:
    """Where points lie in images, as parts of width and height.

    ``"exact"`` gives 0 at the left border of the first pixel and 1 at the right border of the last.
    ``"pimae"`` does as PiMAE's code: pixels of an image of 730 x 530, counted from 0 and rounded to whole
    numbers (half to even), over 730 and 530.

    Args:
        points: ``(B, N, 3)`` in the world.
        world_to_camera: ``(B, 4, 4)``.
        intrinsics: ``(B, 3, 3)``, of images of ``size``.
        size: rows and columns.
        kind: ``"exact"`` or ``"pimae"``.

    Returns:
        ``(B, N, 2)`` horizontal and vertical, -1 behind the camera; and ``(B, N)`` bool, whether the point
        lies in the image.

    Example:
        >>> K = torch.tensor([[[2.0, 0, 1.5], [0, 2, 0.5], [0, 0, 1]]])
        >>> points = torch.tensor([[[0.0, 0, 2], [0, 0, -1]]])
        >>> places, seen = project_points(points, torch.eye(4)[None], K, (2, 4))
        >>> places.tolist(), seen.tolist()
        ([[[0.5, 0.5], [-1.0, -1.0]]], [[True, False]])
    """
    world_to_camera, intrinsics, places = (x.double() for x in (world_to_camera, intrinsics, points))
    local = places @ world_to_camera[:, :3, :3].mT + world_to_camera[:, None, :3, 3]  # (B, N, 3)
    homogeneous = local @ intrinsics.mT
    ahead = homogeneous[..., 2:] > 1e-6
    pixels = homogeneous[..., :2] / torch.where(ahead, homogeneous[..., 2:], 1.0)
    extent = pixels.new_tensor(size[::-1])
    places = (pixels + 0.5) / extent
    if kind == "pimae":
        official = pixels.new_tensor(PIMAE_SIZE)
        places = (places * official - 0.5).round() / official
    places = torch.where(ahead, places, UNSEEN)
    seen = ((places >= 0) & (places < 1)).all(dim=-1)
    return places.to(points.dtype if points.dtype == torch.float64 else torch.float32), seen


def patch_indices(places: Tensor, grid: tuple[int, int], patch_size: int, kind: str = "exact") -> Tensor:
    """``(B, N)``: the patch, counted row by row, that each of ``(B, N, 2)`` places in the image falls into.

    ``"pimae"`` takes the place ``u`` for pixel ``u (W - 1)``, as the official code.

    Example:
        >>> patch_indices(torch.tensor([[[0.99, 0.2], [0.1, 0.6]]]), (2, 3), 16).tolist()
        [[2, 3]]
    """
    pixels = places.new_tensor([grid[1] * patch_size, grid[0] * patch_size])
    pixels = pixels - 1 if kind == "pimae" else pixels
    column, row = (places * pixels / patch_size).floor().long().unbind(-1)
    return row * grid[1] + column
