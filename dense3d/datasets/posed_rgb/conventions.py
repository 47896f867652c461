"""Whether the poses fit the photographs, and if not, in which convention they would.

Points that two photographs share are to lie on each other's epipolar lines (Hartley and Zisserman, "Multiple
View Geometry", equation 9.3), and before both cameras. Poses with other axes, mirrored or inverted ones, fail
that. Where camera and world are both left-handed, as in Unity, the matrices themselves look as any others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.errors import DataError

PAIRS = 6
LONG_SIDE = 640  # pixels of the images that are matched
RATIO = 0.75  # of the distances to the best and the second best match (Lowe, IJCV 2004)
LEAST_MATCHES = 15
CLOSE = 0.004  # of the image's long side: a match so near to its line fits
FITS = 0.5  # share of the matches that a right convention keeps
CLEARLY = 2.0  # another convention is taken for the right one where it keeps so many times the matches
OPENGL = "camera to world, axes of OpenGL (x right, y up, z backwards)"
OPENCV = "camera to world, axes of OpenCV (x right, y down, z forward)"
UNITY = "camera to world, left-handed axes of Unity (x right, y up, z forward) in a left-handed world"
INVERTED = {name: f"world to camera{name[15:]}" for name in (OPENGL, OPENCV, UNITY)}
TURN = np.diag([1.0, -1.0, -1.0, 1.0])
CAMERA_AXES = {OPENCV: np.eye(4), OPENGL: TURN, UNITY: np.diag([1.0, -1.0, 1.0, 1.0])}
# Of layouts whose axes can be chosen.
REMEDIES = {
    OPENCV: 'read it with axes="opencv" (--axes opencv)',
    UNITY: "negate the second row and the second column of each matrix, which makes both right-handed, and "
    'read it with axes="opencv" (--axes opencv)',
}


@dataclass(frozen=True)
class PoseCheck:
    """How well poses fit the photographs.

    Attributes:
        read: the convention in which the files were read.
        shares: for each convention the share of matched points that fit it; empty where nothing was matched.
        matches: number of matched points.
    """

    read: str
    shares: dict[str, float]
    matches: int

    @property
    def better(self) -> str | None:
        """The convention that the photographs speak for, where it is not the one of the poses as read."""
        if not self.shares:
            return None
        best = max(self.shares, key=self.shares.__getitem__)
        share = self.shares[best]
        return best if share > max(FITS, CLEARLY * self.shares[self.read]) else None


def require_fitting_poses(scene: PosedScene) -> PoseCheck:
    """:func:`check_poses`, and an error where the photographs speak clearly for another convention.

    Raises:
        DataError: says which convention was found, and what to do.
    """
    check = check_poses(scene)
    if check.better is not None:
        remedies = REMEDIES if scene.layout in ("transforms", "blender") else {}
        remedy = remedies.get(check.better, "convert the matrices")
        raise DataError(
            f"{scene.root}: the poses are read as {check.read}, which {check.shares[check.read]:.0%} of "
            f"{check.matches} points that photographs share fit, and {check.shares[check.better]:.0%} fit "
            f"{check.better}: {remedy}"
        )
    return check


def check_poses(scene: PosedScene, pairs: int = PAIRS) -> PoseCheck:
    """Match points of neighbouring photographs, and count those that each convention explains.

    Args:
        scene: its photographs are read.
        pairs: how many pairs of photographs are compared at most.
    """
    kept: dict[str, float] = {}
    matches = 0
    read = OPENGL if scene.layout in ("transforms", "blender") else OPENCV
    for first, second in _neighbours(scene.frames, pairs):
        here, there, scale = _matched(first, second)
        if len(here) < LEAST_MATCHES:
            continue
        matches += len(here)
        for name, poses in _candidates(first, second, read).items():
            fits = _fitting(first, second, poses, here, there, CLOSE * scale)
            kept[name] = kept.get(name, 0) + fits.sum()
    return PoseCheck(read, {name: float(count / matches) for name, count in kept.items()}, matches)


def _neighbours(frames: Sequence[PosedFrame], pairs: int) -> list[tuple[PosedFrame, PosedFrame]]:
    """Photographs spread over the scene, each with the one that follows it."""
    starts = np.unique(np.linspace(0, len(frames) - 2, min(pairs, len(frames) - 1)).astype(int))
    return [(frames[start], frames[start + 1]) for start in starts]


def _candidates(first: PosedFrame, second: PosedFrame, read: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both poses as they would be, were the numbers of the files of each convention."""
    poses = (first.camera.camera_to_world, second.camera.camera_to_world)
    in_file = poses if read == OPENCV else tuple(pose @ TURN for pose in poses)
    inverted = tuple(np.linalg.inv(pose) for pose in in_file)
    candidates = {}
    for name, axes in CAMERA_AXES.items():  # those of the world drop out of the motion between two cameras
        candidates[name] = tuple(pose @ axes for pose in in_file)
        candidates[INVERTED[name]] = tuple(pose @ axes for pose in inverted)
    return candidates


def _matched(first: PosedFrame, second: PosedFrame) -> tuple[np.ndarray, np.ndarray, float]:
    """(N, 2) undistorted pixels of both cameras that show the same, and the long side of the images."""
    found = [_features(frame) for frame in (first, second)]
    (here, described), (there, others) = found
    size = float(max(first.camera.width, first.camera.height))
    if min(len(here), len(there)) < 2:
        return np.empty((0, 2)), np.empty((0, 2)), size
    matches = cv2.BFMatcher(cv2.NORM_L2).knnMatch(described, others, k=2)
    good = [best for best, other in matches if best.distance < RATIO * other.distance]
    pairs = np.array([(match.queryIdx, match.trainIdx) for match in good], dtype=int).reshape(-1, 2)
    return here[pairs[:, 0]], there[pairs[:, 1]], size


def _features(frame: PosedFrame) -> tuple[np.ndarray, np.ndarray]:
    image = cv2.cvtColor(frame.read_image(), cv2.COLOR_RGB2GRAY)
    scale = min(1.0, LONG_SIDE / max(image.shape))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    points, descriptors = cv2.SIFT_create(1000).detectAndCompute(small, None)
    if descriptors is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    pixels = (np.array([point.pt for point in points]) + 0.5) / scale - 0.5
    if frame.distortion is not None:
        pixels = frame.distortion.undistort(pixels, frame.camera.intrinsics)
    return pixels, descriptors


def _fitting(
    first: PosedFrame,
    second: PosedFrame,
    poses: tuple[np.ndarray, np.ndarray],
    here: np.ndarray,
    there: np.ndarray,
    close: float,
) -> np.ndarray:
    """(N,) bool: matches near their epipolar line whose point lies before both cameras."""
    motion = np.linalg.inv(poses[1]) @ poses[0]
    rays, others = (_rays(pixels, frame) for pixels, frame in ((here, first), (there, second)))
    if np.linalg.norm(motion[:3, 3]) < 1e-9:
        return np.zeros(len(here), bool)
    turned = rays @ motion[:3, :3].T
    # turned * a + translation = others * b: the line of the first point in the second image, and depths
    lines = np.cross(motion[:3, 3], turned) @ np.linalg.inv(second.camera.intrinsics)
    ends = np.concatenate([there, np.ones((len(there), 1))], axis=1)
    distance = np.abs((lines * ends).sum(axis=1)) / np.maximum(np.linalg.norm(lines[:, :2], axis=1), 1e-12)
    across = np.cross(turned, others)
    square = np.maximum((across**2).sum(axis=1), 1e-18)
    depth = (np.cross(others, motion[:3, 3]) * across).sum(axis=1) / square
    other = (np.cross(turned, motion[:3, 3]) * across).sum(axis=1) / square
    return (distance < close) & (depth > 0) & (other > 0)


def _rays(pixels: np.ndarray, frame: PosedFrame) -> np.ndarray:
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    return homogeneous @ np.linalg.inv(frame.camera.intrinsics).T
