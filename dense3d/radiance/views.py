"""Photographs as fits use them: undistorted, made smaller, with masks, one of eight held out."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.datasets.stereo.pictures import read_numbers
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.structures.camera import PinholeCamera

HOLD_OUT_EVERY = 8


@dataclass(frozen=True, eq=False)
class PosedView:
    """One photograph in memory: bytes, so that a hundred of them fit.

    Args:
        name: of the photograph.
        camera: pinhole, for pixels of ``image``.
        image: (H, W, 3) uint8 RGB; where ``alpha`` is not full, multiplied by it.
        alpha: (H, W) uint8, how much of a pixel the object covers; None where everything is to be fitted.
        usable: (H, W) bool, pixels that count; None for all.
        depth: (H, W) float32 along the optical axis, 0 where unknown; None if there is none.
    """

    name: str
    camera: PinholeCamera
    image: np.ndarray
    alpha: np.ndarray | None = None
    usable: np.ndarray | None = None
    depth: np.ndarray | None = None

    def fingerprint(self) -> int:
        """A number that changes with the pixels that are fitted, their size and the camera."""
        number = zlib.crc32(repr(self.image.shape).encode())
        arrays = (self.image, self.alpha, self.usable, self.camera.intrinsics, self.camera.camera_to_world)
        for array in arrays:
            if array is not None:
                number = zlib.crc32(np.ascontiguousarray(array).tobytes(), number)
        return number

    def seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of the points (N, 3) of the world lie in the image, and their columns and rows there."""
        pixels, depth = self.camera.project(points)
        places = np.rint(np.where(depth[:, None] > 0, pixels, -1)).astype(np.int64)
        size = (self.camera.width, self.camera.height)
        inside = np.flatnonzero((depth > 0) & (places >= 0).all(axis=1) & (places < size).all(axis=1))
        return (inside, *places[inside].T)

    def viewmat(self) -> Tensor:
        """(4, 4) float32 from the world to the camera."""
        return torch.from_numpy(self.camera.world_to_camera.astype(np.float32))

    def intrinsics(self) -> Tensor:
        """(3, 3) float32; the corner of the first pixel is the origin, as rasterisation has it."""
        matrix = self.camera.intrinsics.astype(np.float32).copy()
        matrix[:2, 2] += 0.5
        return torch.from_numpy(matrix)

    def target(self, background: Tensor) -> Tensor:
        """(H, W, 3) float32 in 0..1, over a background (3,) where the object does not cover all."""
        image = torch.from_numpy(self.image).float() / 255
        if self.alpha is None:
            return image
        return image + (1 - torch.from_numpy(self.alpha).float()[..., None] / 255) * background

    def mask(self) -> Tensor | None:
        """(H, W) bool, pixels that count, or None for all."""
        return None if self.usable is None else torch.from_numpy(self.usable)


def load_views(
    scene: PosedScene,
    downscale: float = 1.0,
    masks: str | Path | None = None,
    masks_show: str = "object",
    with_depth: bool = True,
) -> list[PosedView]:
    """Read all photographs of a scene.

    Args:
        scene: what to read; alpha channels of its pictures tell the object from the background.
        downscale: make images smaller by this factor.
        masks: folder with a picture for each photograph, of its name with or without suffix; 0 is outside.
        masks_show: ``"object"``: what lies outside of a mask is to be empty; ``"usable"``: it is unknown.
        with_depth: read depth maps, where all photographs have one.

    Raises:
        DataError: a file is missing or damaged, or of another size than its camera.
        ConfigError: an argument is out of range.
    """
    if not 1 <= downscale < np.inf:
        raise ConfigError(f"downscale={downscale}: images are made smaller, by a factor of at least 1")
    if masks_show not in ("object", "usable"):
        raise ConfigError(f"masks_show={masks_show!r} is none of object, usable")
    if masks is not None and not is_folder(masks):
        raise DataError(f"{masks} is no folder: name one with a mask for each photograph")
    depth = with_depth and scene.depth_is_known()
    return [_load(frame, downscale, masks, masks_show, depth) for frame in scene.frames]


def held_out(views: list[PosedView], every: int = HOLD_OUT_EVERY) -> tuple[list[PosedView], list[PosedView]]:
    """Training views, and every eighth one by name, the first included, as is usual.

    Args:
        views: at least two.
        every: one of so many is held out; 0 holds none out.

    Raises:
        ConfigError: ``every`` is negative.
        DataError: no view is left to train on.
    """
    if every < 0:
        raise ConfigError(f"hold_out={every}: one of so many photographs is held out, or 0 for none")
    if not every:
        return views, []
    ordered = sorted(views, key=lambda view: view.name)
    chosen = {id(view) for view in ordered[::every]}
    train = [view for view in views if id(view) not in chosen]
    if not train:
        raise DataError(f"{len(views)} photographs are too few to hold one of {every} out: take more")
    return train, [view for view in views if id(view) in chosen]


def _load(
    frame: PosedFrame, downscale: float, masks: str | Path | None, masks_show: str, with_depth: bool
) -> PosedView:
    pixels = frame.read_image(alpha=True)
    image, alpha = pixels[..., :3], pixels[..., 3]
    usable = frame.read_mask()
    if masks is not None:
        shown = _own_mask(frame, Path(masks))
        if masks_show == "object":
            alpha = np.where(shown, alpha, 0).astype(np.uint8)
        else:
            usable = shown if usable is None else usable & shown
    # before the rim of an undistorted photograph is mixed with nothing
    has_alpha = bool((alpha < 255)[usable if usable is not None else slice(None)].any())
    if frame.distortion is not None:
        inside = frame.undistorted(np.full(alpha.shape, 255, np.uint8), nearest=True) > 0
        usable = inside if usable is None else inside & (frame.undistorted(usable.astype(np.uint8), True) > 0)
        image, alpha = frame.undistorted(image), frame.undistorted(alpha)
    depth = _depth(frame) if with_depth else None
    camera = smaller(frame.camera, downscale)
    size = (camera.width, camera.height)
    if has_alpha:  # colours are averaged by how much of them is there
        image = (image * (alpha[..., None] / 255)).round().astype(np.uint8)
    if usable is not None:  # a pixel that mixes known and unknown ones is unknown
        usable = _resized(usable.astype(np.uint8) * 255, size, cv2.INTER_AREA) == 255
        if not usable.any():
            raise DataError(f"{frame.name}: its mask leaves no pixel to fit; leave the photograph out")
    return PosedView(
        name=frame.name,
        camera=camera,
        image=_resized(image, size, cv2.INTER_AREA),
        alpha=_resized(alpha, size, cv2.INTER_AREA) if has_alpha else None,
        usable=usable,
        depth=None if depth is None else _resized(depth, size, cv2.INTER_NEAREST),
    )


def _own_mask(frame: PosedFrame, folder: Path) -> np.ndarray:
    """(H, W) bool of the picture that is named like the photograph."""
    name = Path(frame.name.split(":")[-1])
    stems = (name.name, name.stem)
    candidates = [folder / f"{stem}{suffix}" for stem in stems for suffix in ("", *IMAGE_SUFFIXES)]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder} has no mask of {frame.name}: add {name.stem}.png, or leave the photograph out"
        )
    values = read_numbers(path)
    if values.shape[:2] != (frame.camera.height, frame.camera.width):
        raise DataError(
            f"{path} is {values.shape[1]} x {values.shape[0]} pixels and {frame.image_path} is "
            f"{frame.camera.width} x {frame.camera.height}: make the mask of the photograph's size"
        )
    return values > 0


def _depth(frame: PosedFrame) -> np.ndarray:
    """Depth at the photograph's pixels, the nearest where several fall on one, 0 where none does."""
    depth = frame.read_depth()
    camera, own = frame.camera, frame.depth_model
    if frame.distortion is None and _same_pixels(camera, own):
        return depth
    rows, columns = np.nonzero(depth > 0)
    points = own.unproject(np.stack([columns, rows], axis=1).astype(np.float64), depth[rows, columns])
    pixels, ahead = camera.project(points)
    places = np.rint(pixels).astype(np.int64)
    inside = (ahead > 0) & (places >= 0).all(axis=1) & (places < (camera.width, camera.height)).all(axis=1)
    found = np.full((camera.height, camera.width), np.inf, np.float32)
    x, y = places[inside].T
    np.minimum.at(found, (y, x), ahead[inside].astype(np.float32))
    return np.where(np.isfinite(found), found, 0).astype(np.float32)


def _same_pixels(one: PinholeCamera, other: PinholeCamera) -> bool:
    same_size = (one.width, one.height) == (other.width, other.height)
    return same_size and np.allclose(one.intrinsics, other.intrinsics)


def smaller(camera: PinholeCamera, factor: float) -> PinholeCamera:
    """The camera of images that are smaller by ``factor``, rounded to whole pixels."""
    if factor == 1:
        return camera
    width, height = (max(1, round(side / factor)) for side in (camera.width, camera.height))
    scale = np.array([width / camera.width, height / camera.height])
    intrinsics = camera.intrinsics.copy()
    intrinsics[0] *= scale[0]
    intrinsics[1] *= scale[1]
    intrinsics[:2, 2] = (camera.intrinsics[:2, 2] + 0.5) * scale - 0.5
    return replace(camera, width=width, height=height, intrinsics=intrinsics)


def _resized(pixels: np.ndarray, size: tuple[int, int], method: int) -> np.ndarray:
    if pixels.shape[1::-1] == size:
        return np.ascontiguousarray(pixels)
    return cv2.resize(pixels, size, interpolation=method)
