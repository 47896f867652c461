"""How much two posed photographs of a scene show of the same surfaces, and from how different directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.structures.camera import PinholeCamera

GRID = (24, 16)  # pixels across and down whose points stand for a view; half of them without depth
DEPTH_WIDTH = 160  # depth maps are kept at most so wide
SAME_SURFACE = 0.05  # a point is that of the other view's depth map up to this fraction of its distance
# Where depth is not known, points are assumed at these multiples of the distance to what all views look at.
DISTANCES = (0.5, 1.0, 2.0)
IN_FRONT = 0.8  # of the views must have that place before them


@dataclass(frozen=True, eq=False)
class Overlap:
    """Relations between N views.

    Args:
        covisible: (N, N); the fraction of view i's points that view j sees.
        angle: (N, N) median angle, in degrees, between the lines of sight from i and j to what both see;
            infinite where they see nothing in common.
        distance: that was assumed, in the units of the poses; None where depth is known.
    """

    covisible: np.ndarray
    angle: np.ndarray
    distance: float | None

    @property
    def mutual(self) -> np.ndarray:
        """(N, N), symmetric: the smaller of both directions."""
        return np.minimum(self.covisible, self.covisible.T)


def overlap_of(scene: PosedScene, distance: float | None = None) -> Overlap:
    """Covisibility of all pairs of views of a scene.

    With depth maps, a point counts that lies in the other view and whose distance there is that of the
    surface it shows. Without, points at several distances count that lie in the other view's frustum. Lens
    distortion is neglected.

    Args:
        scene: its views.
        distance: of the surfaces, in the units of the poses, where depth is not known. Unless given, that to
            the place that the optical axes pass nearest to, or else the extent of the cameras' places.
    """
    frames = scene.frames
    known = scene.depth_is_known()
    if known:
        maps = [_Depth.of(frame) for frame in frames]
        points = [depth.points() for depth in maps]
    else:
        distances = _distances(frames, distance)
        points = [_assumed(frame.camera, own) for frame, own in zip(frames, distances)]
    cameras = _Cameras.of([frame.camera for frame in frames])
    covisible, angle = np.zeros((len(frames),) * 2), np.full((len(frames),) * 2, np.inf)
    for i, cloud in enumerate(points):
        if not len(cloud):
            continue
        seen = cameras.inside(cloud)  # (N, M)
        for j in np.flatnonzero(seen.any(axis=1)):
            if known and i != j:
                seen[j] &= maps[j].shows(cloud)
            covisible[i, j] = seen[j].mean()
            if seen[j].any():
                places = cameras.positions[i], cameras.positions[j]
                angle[i, j] = _angle(cloud[seen[j]], *places)
    return Overlap(covisible, angle, None if known else float(np.median(distances)))


@dataclass(frozen=True, eq=False)
class _Cameras:
    """N cameras at once: (N, 3, 4) from the world to pixels, (N, 2) sizes, (N, 3) places."""

    projections: np.ndarray
    sizes: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, cameras: list[PinholeCamera]) -> _Cameras:
        projections = [camera.intrinsics @ camera.world_to_camera[:3] for camera in cameras]
        sizes = [(camera.width, camera.height) for camera in cameras]
        return cls(np.array(projections), np.array(sizes), np.array([c.position for c in cameras]))

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(N, M) bool: the points (M, 3) lie before the cameras and in their images."""
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        x, y, depth = np.moveaxis(self.projections @ homogeneous.T, 1, 0)
        width, height = (side[:, None] - 0.5 for side in self.sizes.T)
        inside = (x >= -0.5 * depth) & (x <= width * depth) & (y >= -0.5 * depth) & (y <= height * depth)
        return inside & (depth > 0)


@dataclass(frozen=True, eq=False)
class _Depth:
    """A depth map at a part of its resolution, and the camera of the whole one."""

    camera: PinholeCamera
    values: np.ndarray
    step: int

    @classmethod
    def of(cls, frame: PosedFrame) -> _Depth:
        depth = frame.read_depth()
        step = max(1, depth.shape[1] // DEPTH_WIDTH)
        return cls(frame.depth_model, np.ascontiguousarray(depth[step // 2 :: step, step // 2 :: step]), step)

    def points(self) -> np.ndarray:
        """(M, 3) world points of a grid of pixels; those of unknown depth are left out."""
        height, width = self.values.shape
        columns, rows = (
            np.unique(((np.arange(count) + 0.5) * side / count).astype(int))
            for count, side in zip(GRID, (width, height))
        )
        column, row = (part.ravel() for part in np.meshgrid(columns, rows))
        depth = self.values[row, column]
        pixels = np.stack([column, row], axis=1) * self.step + self.step // 2
        return self.camera.unproject(pixels[depth > 0].astype(np.float64), depth[depth > 0])

    def shows(self, points: np.ndarray) -> np.ndarray:
        """(M,) bool: the points lie between the depths of the four pixels around them, or near those."""
        pixels, depth = self.camera.project(points)
        height, width = self.values.shape
        with np.errstate(invalid="ignore"):
            places = np.nan_to_num((pixels - self.step // 2) / self.step, nan=-9, posinf=-9, neginf=-9)
        inside = ((places >= -0.5) & (places <= (width - 0.5, height - 0.5))).all(axis=1) & (depth > 0)
        column, row = np.clip(places, 0, (width - 1, height - 1)).T
        around = np.stack(
            [
                self.values[round_row(row).astype(int), round_column(column).astype(int)]
                for round_row in (np.floor, np.ceil)
                for round_column in (np.floor, np.ceil)
            ]
        )
        nearest = np.where(around > 0, around, np.inf).min(axis=0) * (1 - SAME_SURFACE)
        return inside & (depth >= nearest) & (depth <= around.max(axis=0) * (1 + SAME_SURFACE))


def _assumed(camera: PinholeCamera, distance: float) -> np.ndarray:
    """(M, 3) points in the frustum at the assumed distances."""
    u, v = (
        (np.arange(count // 2) + 0.5) * side / (count // 2) - 0.5
        for count, side in zip(GRID, (camera.width, camera.height))
    )
    pixels = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
    return np.concatenate(
        [camera.unproject(pixels, np.full(len(pixels), factor * distance)) for factor in DISTANCES]
    )


def _distances(frames: tuple[PosedFrame, ...], distance: float | None) -> np.ndarray:
    """(N,) of each view from what is assumed to be seen."""
    if distance is not None:
        return np.full(len(frames), float(distance))
    positions = np.array([frame.camera.position for frame in frames])
    forward = np.array([frame.camera.rotation[:, 2] for frame in frames])
    # the point with the least sum of squared distances from the axes
    projectors = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    matrix = projectors.sum(axis=0)
    if np.linalg.cond(matrix) < 1e4:
        focus = np.linalg.solve(matrix, (projectors @ positions[:, :, None]).sum(axis=0)[:, 0])
        ahead = ((focus - positions) * forward).sum(axis=1)
        if (ahead > 0).mean() >= IN_FRONT:
            return np.where(ahead > 0, ahead, np.median(ahead[ahead > 0]))
    extent = float(np.linalg.norm(np.ptp(positions, axis=0)))
    return np.full(len(frames), extent if extent > 0 else 1.0)


def _angle(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Median angle at the points between the directions to two places, degrees."""
    one, two = points - first, points - second
    cosine = (one * two).sum(axis=1) / (np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1))
    return float(np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))))
