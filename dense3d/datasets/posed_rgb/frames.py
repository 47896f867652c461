"""Photographs with cameras, whatever files they come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dense3d.datasets.posed_rgb.distortion import Distortion
from dense3d.datasets.stereo.formats import read_depth
from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.datasets.stereo.pictures import read_numbers, read_picture
from dense3d.errors import DataError, did_you_mean
from dense3d.structures import PointCloud
from dense3d.structures.camera import PinholeCamera


@dataclass(frozen=True, eq=False)
class PosedFrame:
    """One photograph and what is known of it.

    Args:
        name: within its scene, as the files call it.
        image_path: the photograph.
        camera: pinhole part of the camera, for images of the size that it states.
        distortion: of the lens; None for none.
        mask_path: picture that is 0 where the photograph is not to be used.
        depth_path: depth along the optical axis, png, npy or pfm.
        depth_unit: length of one number in the depth file, in the units of the poses.
        depth_camera: of the depth map, where it is not ``camera``.
        time: moment of a scene that moves, else None.
        extra: anything else that the file says of the frame.
    """

    name: str
    image_path: Path
    camera: PinholeCamera
    distortion: Distortion | None = None
    mask_path: Path | None = None
    depth_path: Path | None = None
    depth_unit: float = 1.0
    depth_camera: PinholeCamera | None = None
    time: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def read_image(self, alpha: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB; with ``alpha`` (H, W, 4), opaque unless the file says otherwise.

        Pixels are as they are stored, whatever turn EXIF data ask for: COLMAP, and what was made with it,
        has cameras for those.

        Raises:
            DataError: the file is missing or damaged, or of another size than the camera's.
        """
        image = _with_alpha(self.image_path) if alpha else read_picture(self.image_path, as_stored=True)
        self._check_size(self.image_path, image, self.camera)
        return image

    def read_depth(self) -> np.ndarray:
        """(H, W) float32 along the optical axis in the units of the poses, 0 where unknown.

        Depth of another resolution than ``depth_camera`` or ``camera`` is an error; see :meth:`depth_model`.

        Raises:
            DataError: there is none, or its file is missing or damaged.
        """
        if self.depth_path is None:
            raise DataError(f"{self.name}: there is no depth of this photograph")
        form = self.depth_path.suffix.lower().lstrip(".")
        if form == "png":
            depth = read_numbers(self.depth_path, bits=16).astype(np.float32)
        elif form in ("npy", "pfm"):
            depth = read_depth(self.depth_path, form, nan_is_unknown=True)
        else:
            raise DataError(f"{self.depth_path}: depth is read from png (16 bits), npy and pfm files")
        self._check_size(self.depth_path, depth, self.depth_model)
        return depth * np.float32(self.depth_unit)

    @property
    def depth_model(self) -> PinholeCamera:
        """The camera whose pixels :meth:`read_depth` gives."""
        return self.camera if self.depth_camera is None else self.depth_camera

    def read_mask(self) -> np.ndarray | None:
        """(H, W) bool, True where the photograph may be used; None if there is no mask."""
        if self.mask_path is None:
            return None
        pixels = read_numbers(self.mask_path)
        self._check_size(self.mask_path, pixels, self.camera)
        return pixels > 0

    def undistorted(self, image: np.ndarray, nearest: bool = False) -> np.ndarray:
        """``image`` (H, W, ...) as the pinhole camera sees it; unchanged if the lens does not distort."""
        if self.distortion is None:
            return image
        return self.distortion.undistort_image(image, self.camera.intrinsics, nearest)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) pixels of the photograph, distortion included, and (N,) depths of world points (N, 3).

        Pixels mean something only where the depth is positive.
        """
        pixels, depth = self.camera.project(points)
        if self.distortion is not None:
            pixels = self.distortion.distort(pixels, self.camera.intrinsics)
        return pixels, depth

    def turned(self) -> PosedFrame:
        """The photograph with its camera, and that of its depth, turned by half a turn about the x axis."""

        def turn(camera: PinholeCamera) -> PinholeCamera:
            return replace(camera, camera_to_world=camera.camera_to_world @ np.diag([1.0, -1.0, -1.0, 1.0]))

        depth_camera = None if self.depth_camera is None else turn(self.depth_camera)
        return replace(self, camera=turn(self.camera), depth_camera=depth_camera)

    @staticmethod
    def _check_size(path: Path, pixels: np.ndarray, camera: PinholeCamera) -> None:
        height, width = pixels.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise DataError(
                f"{path} is {width} x {height} pixels, but its camera is of images of {camera.width} x "
                f"{camera.height}: use the images of that size, or scale the intrinsics like the image"
            )


@dataclass(frozen=True, eq=False)
class PosedScene:
    """Photographs of one scene.

    Args:
        root: folder that the names are relative to.
        layout: ``"transforms"``, ``"blender"``, ``"scannet"`` or ``"colmap"``.
        frames: in the order of the files.
        splits: names of the frames in each split that the files define.
        left_out: a sentence for each photograph that the files name but that cannot be used.
        extra: anything else that the files say of the scene.
        points: what structure from motion triangulated, in the frame of the poses; None if there is nothing.
    """

    root: Path
    layout: str
    frames: tuple[PosedFrame, ...]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    points: PointCloud | None = None

    def split(self, name: str) -> PosedScene:
        """The part of the scene that is for training, validation or test.

        Args:
            name: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            DataError: the files define no such split, or none of its photographs is there.
        """
        if name not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise DataError(
                f"{self.root} defines no split {name!r}{did_you_mean(name, self.splits)} (there are: {known})"
            )
        chosen = set(self.splits[name])
        frames = tuple(frame for frame in self.frames if frame.name in chosen)
        if not frames:
            raise DataError(f"{self.root}: no photograph of the split {name!r} can be used")
        return replace(self, frames=frames, splits={name: self.splits[name]})

    def turned_cameras(self) -> PosedScene:
        """The scene with each camera turned by half a turn about its x axis: OpenGL's axes read as OpenCV's,
        or the other way round."""
        return replace(self, frames=tuple(frame.turned() for frame in self.frames))

    def depth_is_known(self) -> bool:
        """Whether every frame has a depth map."""
        return bool(self.frames) and all(frame.depth_path is not None for frame in self.frames)


def _with_alpha(path: Path) -> np.ndarray:
    opaque = read_picture(path, as_stored=True)
    pixels = cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), cv2.IMREAD_UNCHANGED)
    alpha = np.full((*opaque.shape[:2], 1), 255, np.uint8)
    if pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3:]
        if alpha.dtype == np.uint16:
            alpha = (alpha >> 8).astype(np.uint8)
    return np.concatenate([opaque, alpha], axis=2)
