"""The pinhole camera: KITTI axes (x right, y down, z forward) in a world whose z axis points up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PinholeCamera:
    """A camera without distortion.

    A pixel's integer coordinate is its centre, as in KITTI and OpenCV: the image covers
    ``[-0.5, width - 0.5]`` horizontally and ``[-0.5, height - 0.5]`` vertically. Depth is the z coordinate
    in the camera frame (metres along the optical axis), not the distance along the ray.

    Args:
        width, height: image size in pixels.
        intrinsics: (3, 3) matrix K with ``pixel ~ K @ camera_point``.
        camera_to_world: (4, 4) rigid transform from the camera frame to the world.

    Raises:
        ValueError: the size is not positive, a matrix has the wrong shape, or a focal length is not positive.

    Example:
        >>> camera = PinholeCamera.look_at((0, -5, 0), (0, 0, 0), width=101, height=101, fov=math.pi / 2)
        >>> pixels, depth = camera.project(np.array([[1.0, 0.0, 1.0]]))
        >>> pixels.round(3).tolist(), depth.round(3).tolist()
        ([[60.1, 39.9]], [5.0])
        >>> camera.unproject(pixels, depth).round(3).tolist()
        [[1.0, 0.0, 1.0]]
    """

    width: int
    height: int
    intrinsics: np.ndarray
    camera_to_world: np.ndarray

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a camera's image needs at least one pixel, not {self.width}x{self.height}")
        for name, shape in (("intrinsics", (3, 3)), ("camera_to_world", (4, 4))):
            matrix = np.array(getattr(self, name), dtype=np.float64)
            if matrix.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {matrix.shape}")
            matrix.setflags(write=False)
            object.__setattr__(self, name, matrix)
        if min(self.intrinsics[0, 0], self.intrinsics[1, 1]) <= 0:
            raise ValueError("the focal lengths intrinsics[0, 0] and intrinsics[1, 1] must be positive")

    @classmethod
    def look_at(
        cls,
        position: np.ndarray,
        target: np.ndarray,
        width: int,
        height: int,
        fov: float,
        roll: float = 0.0,
    ) -> PinholeCamera:
        """The camera at ``position`` whose optical axis passes through ``target``, upright up to ``roll``.

        Args:
            position, target: (3,) world points in metres; the line between them must not be vertical.
            width, height: image size in pixels.
            fov: horizontal field of view in radians.
            roll: clockwise turn of the camera about its optical axis in radians.
        """
        position = np.asarray(position, dtype=np.float64)
        forward = np.asarray(target, dtype=np.float64) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        if np.linalg.norm(right) < 1e-9:
            raise ValueError("a camera that looks straight up or down needs an explicit camera_to_world")
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        turned_right = math.cos(roll) * right + math.sin(roll) * down
        camera_to_world = np.eye(4)
        camera_to_world[:3, :3] = np.stack([turned_right, np.cross(forward, turned_right), forward], axis=1)
        camera_to_world[:3, 3] = position
        focal = width / (2 * math.tan(fov / 2))
        intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        return cls(width, height, intrinsics, camera_to_world)

    @property
    def position(self) -> np.ndarray:
        """(3,) optical centre in the world, metres."""
        return self.camera_to_world[:3, 3]

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) rotation from the camera frame to the world."""
        return self.camera_to_world[:3, :3]

    @property
    def world_to_camera(self) -> np.ndarray:
        """(4, 4) inverse of ``camera_to_world``."""
        inverse = np.eye(4)
        inverse[:3, :3] = self.rotation.T
        inverse[:3, 3] = -self.rotation.T @ self.position
        return inverse

    def pixel_grid(self) -> np.ndarray:
        """(H, W, 2) coordinates (u, v) of the pixel centres."""
        u, v = np.meshgrid(np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64))
        return np.stack([u, v], axis=-1)

    def directions(self, pixels: np.ndarray) -> np.ndarray:
        """World direction of the ray through each pixel, scaled so that its camera z is 1.

        A point at depth d on the ray is ``position + d * direction``.

        Args:
            pixels: (..., 2) coordinates (u, v).

        Returns:
            (..., 3) directions; not of unit length.
        """
        k = self.intrinsics
        y = (pixels[..., 1] - k[1, 2]) / k[1, 1]
        x = (pixels[..., 0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
        return rotate(np.stack([x, y, np.ones_like(x)], axis=-1), self.rotation)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project world points into the image.

        Args:
            points: (N, 3) world points in metres.

        Returns:
            (N, 2) pixels (u, v), meaningful only where the depth is positive, and (N,) depths in metres.
        """
        local = rotate(np.asarray(points, dtype=np.float64) - self.position, self.rotation.T)
        homogeneous = rotate(local, self.intrinsics)
        return homogeneous[..., :2] / homogeneous[..., 2:], local[..., 2]

    def unproject(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """World points seen at ``pixels`` (..., 2) with z depth ``depth`` (...), in metres: (..., 3)."""
        return self.position + np.asarray(depth)[..., None] * self.directions(pixels)


def rotate(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``points @ matrix.T`` for (..., 3) points, written out.

    A matrix product may round differently with another number of BLAS threads; this sum does not, and
    rendered data must have the same bytes everywhere.

    Example:
        >>> rotate(np.array([1.0, 2.0, 3.0]), np.eye(3)[[1, 2, 0]]).tolist()
        [2.0, 3.0, 1.0]
    """
    rotated = np.empty(points.shape, dtype=points.dtype)
    for axis, (x, y, z) in enumerate(matrix.astype(points.dtype)):
        rotated[..., axis] = points[..., 0] * x + points[..., 1] * y + points[..., 2] * z
    return rotated
