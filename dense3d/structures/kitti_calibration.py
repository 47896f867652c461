"""Calibration of one KITTI frame: cameras, lidar and inertial unit.

Frames, all right-handed and in metres: the rectified reference camera (x right, y down, z forward), in which
labels are given; the unrectified reference camera; the lidar (x forward, y left, z up); the inertial unit.
Source: A. Geiger et al., "Vision meets robotics: the KITTI dataset", IJRR 2013, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SHAPES = {
    "P0": (3, 4),
    "P1": (3, 4),
    "P2": (3, 4),
    "P3": (3, 4),
    "R0_rect": (3, 3),
    "Tr_velo_to_cam": (3, 4),
    "Tr_imu_to_velo": (3, 4),
}


@dataclass(frozen=True, eq=False)
class KittiCalibration:
    """The seven matrices of a calibration file.

    Args:
        P0, P1, P2, P3: (3, 4) projections of the rectified reference frame to the pixels of the four cameras;
            2 is the left and 3 the right colour camera. Pixel coordinates are those of pixel centres, from 0.
        R0_rect: (3, 3) rotation from the reference camera's frame to the rectified one.
        Tr_velo_to_cam: (3, 4) from the lidar to the reference camera.
        Tr_imu_to_velo: (3, 4) from the inertial unit to the lidar.

    Raises:
        ValueError: a matrix has another shape, holds a value that is not finite, or is singular.

    Example:
        >>> calibration = KittiCalibration.pinhole(focal=700.0, center=(600.0, 170.0))
        >>> pixels, depth = calibration.project(np.array([[1.0, 0.5, 10.0]]))
        >>> pixels.tolist(), depth.tolist()
        ([[670.0, 205.0]], [10.0])
        >>> calibration.unproject(pixels, depth).round(6).tolist()
        [[1.0, 0.5, 10.0]]
    """

    P0: np.ndarray
    P1: np.ndarray
    P2: np.ndarray
    P3: np.ndarray
    R0_rect: np.ndarray
    Tr_velo_to_cam: np.ndarray
    Tr_imu_to_velo: np.ndarray

    def __post_init__(self) -> None:
        for name, shape in SHAPES.items():
            matrix = np.array(getattr(self, name), dtype=np.float64)
            fault = matrix_fault(name, matrix, shape)
            if fault:
                raise ValueError(fault)
            matrix.setflags(write=False)
            object.__setattr__(self, name, matrix)

    @classmethod
    def pinhole(
        cls, focal: float, center: tuple[float, float], baseline: float = 0.0, lidar_height: float = 0.0
    ) -> KittiCalibration:
        """A rig without distortion or tilt: all cameras alike, the right ones shifted by ``baseline`` metres.

        Args:
            focal: focal length in pixels.
            center: (u, v) of the principal point.
            baseline: distance of the right cameras (1 and 3) from the left ones (0 and 2).
            lidar_height: how far the lidar stands above the cameras, metres.
        """
        left = np.array([[focal, 0, center[0], 0], [0, focal, center[1], 0], [0, 0, 1, 0]], dtype=np.float64)
        right = left.copy()
        right[0, 3] = -focal * baseline
        lidar = np.array([[0, -1, 0, 0], [0, 0, -1, -lidar_height], [1, 0, 0, 0]], dtype=np.float64)
        return cls(left, right, left, right, np.eye(3), lidar, np.eye(3, 4))

    def matrices(self) -> dict[str, np.ndarray]:
        """All matrices by name, in the order of the file."""
        return {name: getattr(self, name) for name in SHAPES}

    @property
    def lidar_to_camera(self) -> np.ndarray:
        """(4, 4) from the lidar to the rectified reference camera."""
        return _square(self.R0_rect) @ _square(self.Tr_velo_to_cam)

    @property
    def camera_to_lidar(self) -> np.ndarray:
        """(4, 4) inverse of ``lidar_to_camera``."""
        return np.linalg.inv(self.lidar_to_camera)

    @property
    def imu_to_camera(self) -> np.ndarray:
        """(4, 4) from the inertial unit to the rectified reference camera."""
        return self.lidar_to_camera @ _square(self.Tr_imu_to_velo)

    @property
    def camera_offset(self) -> np.ndarray:
        """(3,) position of camera 2 in the rectified reference frame, about (-0.06, 0, 0) m in KITTI."""
        return -np.linalg.solve(self.P2[:, :3], self.P2[:, 3])

    @property
    def baseline(self) -> float:
        """Distance between the colour cameras 2 and 3 in metres."""
        return float((self.P2[0, 3] - self.P3[0, 3]) / self.P2[0, 0])

    def project(self, points: np.ndarray, camera: int = 2) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of points in the rectified reference frame.

        Args:
            points: (..., 3) in metres.
            camera: 0 to 3.

        Returns:
            (..., 2) pixels (u, v), and (...) depth along the camera's axis. Pixels mean something only where
            the depth is positive.
        """
        matrix = self._projection(camera)
        homogeneous = np.asarray(points, dtype=np.float64) @ matrix[:, :3].T + matrix[:, 3]
        depth = homogeneous[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            return homogeneous[..., :2] / depth[..., None], depth

    def unproject(self, pixels: np.ndarray, depth: np.ndarray, camera: int = 2) -> np.ndarray:
        """Points of the rectified reference frame seen at pixels: the inverse of :meth:`project`.

        Args:
            pixels: (..., 2) as (u, v).
            depth: (...) along the camera's axis, as :meth:`project` gives it.
            camera: 0 to 3.

        Returns:
            (..., 3) in metres.
        """
        matrix = self._projection(camera)
        depth = np.asarray(depth, dtype=np.float64)[..., None]
        homogeneous = np.concatenate([np.asarray(pixels) * depth, depth], axis=-1) - matrix[:, 3]
        return homogeneous @ np.linalg.inv(matrix[:, :3]).T

    def lidar_to_rect(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) lidar points in the rectified reference frame."""
        return transform(points, self.lidar_to_camera)

    def rect_to_lidar(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points of the rectified reference frame in the lidar's."""
        return transform(points, self.camera_to_lidar)

    def flipped(self, width: int) -> KittiCalibration:
        """The calibration of the mirrored images, for points mirrored at x = 0.

        A point (x, y, z) seen at u is then (-x, y, z) seen at ``width - 1 - u``. The cameras keep their
        numbers; lidar and inertial unit are mirrored in y.

        Args:
            width: of the images in pixels.
        """
        pixels = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
        camera, lidar = np.diag([-1.0, 1, 1]), np.diag([1.0, -1, 1, 1])
        changed = {f"P{i}": pixels @ getattr(self, f"P{i}") @ np.diag([-1.0, 1, 1, 1]) for i in range(4)}
        changed["R0_rect"] = camera @ self.R0_rect @ camera
        changed["Tr_velo_to_cam"] = camera @ self.Tr_velo_to_cam @ lidar
        changed["Tr_imu_to_velo"] = lidar[:3, :3] @ self.Tr_imu_to_velo @ lidar
        return replace(self, **changed)

    def warped(self, matrix: np.ndarray) -> KittiCalibration:
        """The calibration of images moved by an affine map of their pixels.

        Args:
            matrix: (2, 3) from the old to the new pixel coordinates.
        """
        pixels = np.vstack([np.asarray(matrix, dtype=np.float64), [0, 0, 1]])
        return replace(self, **{f"P{i}": pixels @ getattr(self, f"P{i}") for i in range(4)})

    def _projection(self, camera: int) -> np.ndarray:
        if camera not in range(4):
            raise ValueError(f"KITTI's cameras are 0 to 3, not {camera}")
        return getattr(self, f"P{camera}")


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move (..., 3) points by a (4, 4) or (3, 4) matrix.

    Example:
        >>> transform(np.array([1.0, 2.0, 3.0]), np.eye(4)).tolist()
        [1.0, 2.0, 3.0]
    """
    return np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3]


def matrix_fault(name: str, matrix: np.ndarray, shape: tuple[int, int]) -> str | None:
    """What is wrong with a matrix of a calibration, None if nothing is."""
    if matrix.shape != shape:
        return f"{name} must have shape {shape}, not {matrix.shape}"
    if not np.isfinite(matrix).all():
        return f"{name} holds a value that is not finite"
    square = matrix[:, :3]
    scale = np.linalg.norm(square, axis=1).prod()
    if abs(np.linalg.det(square)) <= 1e-9 * scale or scale == 0:
        return f"{name} is singular (its left 3x3 part has no inverse)"
    return None


def _square(matrix: np.ndarray) -> np.ndarray:
    """(4, 4) of a (3, 3) or (3, 4) matrix."""
    result = np.eye(4)
    result[: matrix.shape[0], : matrix.shape[1]] = matrix
    return result
