"""From the record of a scene to its photographs, and to the cloud that they see."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.pointcloud.transforms import take
from dense3d.datasets.posed_rgb.frames import PosedFrame
from dense3d.datasets.scene_views.view import SceneView, depth_of_points, points_of_view, read_view
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

CLOUDS = ("views", "scan")
SAMPLE = 400  # points of a depth map that are looked for in a scan
NEAR = 0.25  # metres within which a scan of the same scene has a point
SAME_SCENE = 0.3  # share of them that has one, at least
FEWEST = 32  # points
PAGE = "docs/gaussian2scene.md"


@TRANSFORMS.register_module()
class LoadSceneViews(BaseTransform):
    """Read the photographs of a record, and make or check its cloud.

    Adds ``views``, a list of :class:`~dense3d.datasets.scene_views.view.SceneView`, of which the first is the
    record's own, and with ``cloud="views"`` also ``points`` and ``colors`` of their depth maps.

    Args:
        size: rows and columns of the photographs, whole patches of the network.
        cloud: ``"views"``, the cloud is what the depth maps show; or ``"scan"``, ``LoadPoints`` has read it,
            and depth that no file holds is that of its points.
        crop: of a scan, leave what the first photograph does not show; what is hidden behind stays.
        far: metres along the optical axis beyond which depth counts as unknown.
        count: take so many of the record's photographs; all unless given.
        shuffle: draw those at random, each time anew, rather than take the first.

    Raises:
        DataError: a file is missing or damaged; a photograph has no depth; scan and photograph are not of one
            scene; almost nothing of the cloud is left.
        ConfigError: an argument is out of range; or the pipeline moves the cloud, which its cameras do not
            follow.
    """

    def __init__(
        self,
        size: tuple[int, int],
        cloud: str = "views",
        crop: bool = False,
        far: float = 10.0,
        count: int | None = None,
        shuffle: bool = False,
    ) -> None:
        if cloud not in CLOUDS:
            raise ConfigError(f"cloud={cloud!r} of LoadSceneViews: use one of {', '.join(CLOUDS)}")
        pair = isinstance(size, (tuple, list)) and len(size) == 2
        if not pair or not all(isinstance(side, Integral) and side > 0 for side in size) or not far > 0:
            raise ConfigError(
                f"LoadSceneViews(size={size!r}, far={far}): size is rows and columns, such as (256, 352), "
                "and far metres"
            )
        if count is not None and count < 1:
            raise ConfigError(f"LoadSceneViews(count={count}): at least one photograph is read")
        self.size, self.cloud, self.crop, self.far = tuple(size), cloud, crop, far
        self.count, self.shuffle = count, shuffle

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read."""
        frames = results.get("frames")
        if not frames:
            raise DataError(f"{results['path']}: no photographs are known of this cloud; see {PAGE}")
        if self.cloud == "scan" and "points" not in results:
            raise ConfigError("LoadSceneViews(cloud='scan') comes behind LoadPoints in a pipeline")
        if self.cloud == "scan" and results.get("moved"):
            raise ConfigError(
                "a step before LoadSceneViews turned, mirrored, scaled or shifted the cloud, which no longer "
                "fits its photographs: leave such steps out of this pipeline"
            )
        views = [read_view(frame, self.size) for frame in self._chosen(frames)]
        if self.cloud == "scan" and views[0].depth is not None:
            require_same_scene(views[0], results["points"], str(results["path"]))
        views = [self._with_depth(view, results) for view in views]
        results["views"] = views
        if self.cloud == "views":
            parts = [points_of_view(view) for view in views]
            results["points"], results["colors"] = (np.concatenate(part) for part in zip(*parts))
        elif self.crop:
            take(results, np.flatnonzero(_shown(results["points"], views[0])))
        if len(results["points"]) < FEWEST:
            raise DataError(
                f"{views[0].name}: {len(results['points'])} points of the cloud are before its camera: look "
                "at pose, intrinsics and depth"
            )
        return results

    def _chosen(self, frames: Sequence[PosedFrame]) -> Sequence[PosedFrame]:
        count = len(frames) if self.count is None else self.count
        if count > len(frames):
            raise ConfigError(
                f"LoadSceneViews(count={count}) of {len(frames)} photographs: raise num_views of the data set"
            )
        if not self.shuffle:
            return frames[:count]
        return [frames[index] for index in np.random.permutation(len(frames))[:count]]

    def _with_depth(self, view: SceneView, results: dict[str, Any]) -> SceneView:
        """The view with the depth of its file, or of the cloud's points, 0 where it is too far away."""
        depth = view.depth
        if depth is None and self.cloud == "views":
            raise DataError(
                f"{view.name}: there is no depth of this photograph, and the cloud is made of depth maps"
            )
        if depth is None:
            depth = depth_of_points(results["points"], view.camera)
        known = np.isfinite(depth) & (depth <= self.far)
        return SceneView(view.name, view.image, np.where(known, depth, 0).astype(np.float32), view.camera)


def require_same_scene(view: SceneView, points: np.ndarray, scan: str) -> None:
    """Complain about a depth map that does not lie on a scan.

    Raises:
        DataError: few of its points are near one of the scan.
    """
    from scipy.spatial import cKDTree

    seen, _ = points_of_view(view)
    if not len(seen):
        return
    seen = seen[:: max(1, len(seen) // SAMPLE)]
    distance, _ = cKDTree(points).query(seen, distance_upper_bound=NEAR)
    share = float(np.isfinite(distance).mean())
    if share < SAME_SCENE:
        raise DataError(
            f"{view.name} and {scan} are not of one scene: {share:.0%} of the depth map is within {NEAR:g} m "
            "of the scan; give each scan its own frames, in its own frame of reference"
        )


def _shown(points: np.ndarray, view: SceneView) -> np.ndarray:
    """(N,) bool: points inside the photograph."""
    places, depth = view.camera.project(points)
    extent = (view.camera.width - 0.5, view.camera.height - 0.5)
    return (depth > 0) & (places >= -0.5).all(axis=1) & (places < extent).all(axis=1)
