"""From photographs to a file of splats, with scores, pictures, a video and a mesh."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dense3d.apis.building import usable_device
from dense3d.datasets.posed_rgb import (
    PosedScene,
    read_scene,
    require_fitting_poses,
    structure_from_motion,
)
from dense3d.engine.lock import locked
from dense3d.errors import ConfigError, DataError
from dense3d.files import require_writable_folder
from dense3d.radiance.evaluation import SPLATS, Scores, evaluate
from dense3d.radiance.extent import scene_extent
from dense3d.radiance.previews import preview
from dense3d.radiance.session import Session, load_state, require_new
from dense3d.radiance.splats.fitting import Fitter
from dense3d.radiance.splats.gaussians import Gaussians
from dense3d.radiance.splats.initial import initial_points
from dense3d.radiance.splats.outputs import MESH, VIDEO, mesh_into, require_extras, video_into
from dense3d.radiance.splats.ply_files import write_splats
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.splats.settings import FitSettings
from dense3d.radiance.views import HOLD_OUT_EVERY, PosedView, held_out, load_views
from dense3d.structures import PointCloud, read_cloud
from dense3d.visualization.pictures import write_picture

FILE = "splats.ply"
LARGE = 1000  # pixels of a side


@dataclass
class FitReport:
    """What :func:`fit_splats` wrote and found.

    Attributes:
        gaussians: the fitted scene.
        splats: its file.
        scores: of the photographs that were held out, and of baselines.
        pictures: of these photographs.
        video, mesh: files, if they were asked for.
        left_out: photographs that could not be used, and why.
        seconds: of all steps of this run.
    """

    gaussians: Gaussians
    splats: Path
    scores: Scores
    pictures: list[Path] = field(default_factory=list)
    video: Path | None = None
    mesh: Path | None = None
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


def fit_splats(
    scene: str | Path | PosedScene,
    out: str | Path,
    settings: FitSettings | None = None,
    *,
    cloud: str | Path | PointCloud | None = None,
    points: int | None = None,
    downscale: float = 1.0,
    masks: str | Path | None = None,
    masks_show: str = "object",
    hold_out: int = HOLD_OUT_EVERY,
    axes: str = "opengl",
    colmap: bool = False,
    check_poses: bool = True,
    resume: bool = False,
    device: str | None = None,
    show: bool = False,
    video: bool = False,
    mesh: bool = False,
    voxel: float | None = None,
    save_every: int | None = None,
    tell: Callable[[str], None] = print,
) -> FitReport:
    """Fit Gaussians to the photographs of a scene.

    Args:
        scene: folder or file of posed photographs, see :func:`~dense3d.datasets.posed_rgb.read_scene`.
        out: folder; gets ``splats.ply``, ``metrics.json``, ``metrics.csv``, ``previews``, ``held_out``,
            ``state.pth``, and ``orbit.mp4`` and ``mesh.ply`` if asked for.
        settings: of the fit; the published ones unless given.
        cloud: a scan in the frame of the poses, where Gaussians begin.
        points: number of points to begin with, see
            :func:`~dense3d.radiance.splats.initial.initial_points`.
        downscale, masks, masks_show: see :func:`~dense3d.radiance.views.load_views`.
        hold_out: one of so many photographs is kept for evaluation; 0 keeps none.
        axes: of transforms files, see :func:`~dense3d.datasets.posed_rgb.read_scene`.
        colmap: ``scene`` is a folder of photographs without poses; they are found by structure from motion,
            into ``out/colmap``.
        check_poses: match photographs to see whether the poses fit them.
        resume: go on with the fit in ``out``.
        device: ``"cpu"``, ``"cuda"``, ...; a GPU if there is one unless given.
        show: open a page that shows the scene while it is fitted, and keep it until it is interrupted.
        video: write a video.
        mesh: write a mesh from rendered depth.
        voxel: side of its voxels in the units of the poses; by default two pixels at the median
            distance.
        save_every: steps between checkpoints; one a minute unless given.
        tell: is given lines on what happens.

    Raises:
        DataError, ConfigError, CheckpointError, TrainingError, MissingDependencyError: one sentence each.
    """
    settings, out = settings or FitSettings(), Path(out)
    require_writable_folder(out)
    if not resume:
        require_new(out)
    require_extras(video, mesh, voxel)
    place = usable_device(device)
    with locked(out):
        if colmap:
            if isinstance(scene, PosedScene):
                raise ConfigError(
                    "colmap: the photographs of a scene have poses; name a folder of photographs"
                )
            scene = structure_from_motion(scene, out / "colmap", seed=settings.seed, tell=tell)
        found = scene if isinstance(scene, PosedScene) else read_scene(scene, axes=axes)
        if len(found.frames) < 2:
            raise DataError(f"{found.root} has {len(found.frames)} photograph: fit at least two")
        if check_poses and not resume:
            _tell_poses(found, tell)
        views = load_views(found, downscale, masks, masks_show)
        train, test = held_out(views, hold_out)
        if max(max(view.image.shape) for view in views) > LARGE and place.type == "cpu":
            tell(f"note: on the CPU, photographs of more than {LARGE} pixels take long; see --downscale")
        extent = scene_extent(train)
        if resume:
            fitter = Fitter.resumed(train, settings, load_state(out, Fitter.kind), place)
            tell(f"going on after step {fitter.step} with {len(fitter.gaussians):,} Gaussians")
        else:
            given = read_cloud(cloud) if isinstance(cloud, (str, Path)) else cloud
            start, source = initial_points(found, train, given, points, settings.cap, settings.seed)
            tell(
                f"{len(train)} photographs of {train[0].camera.width} x {train[0].camera.height} pixels to "
                f"fit, {len(test)} held out; {len(start):,} Gaussians to begin with, from {source}"
            )
            fitter = Fitter(train, start, extent, settings, place)
        viewer = _viewer(views, extent, tell) if show else None
        begin = time.monotonic()
        show = None if viewer is None else lambda line: viewer.show(fitter.gaussians, line)
        Session(fitter, out, test, tell, show).run(save_every)
        report = _finish(fitter, train, test, out, time.monotonic() - begin)
        report.left_out = found.left_out
        if video:
            report.video = video_into(fitter.gaussians, views, out / VIDEO, fitter.background(), tell)
        if mesh:
            report.mesh = mesh_into(fitter.gaussians, train, out / MESH, voxel, tell)
    if viewer is not None:
        tell(f"the scene is shown at {viewer.url}; Ctrl+C ends")
        viewer.wait()
    return report


def _tell_poses(scene: PosedScene, tell: Callable[[str], None]) -> None:
    check = require_fitting_poses(scene)
    if check.matches:
        share = check.shares[check.read]
        tell(f"poses: {share:.0%} of {check.matches} points that photographs share fit them")
        if share < 0.3:
            tell("warning: few points fit the poses; they, the intrinsics or the lens may be wrong")


def _viewer(views: list[PosedView], extent: float, tell: Callable[[str], None]) -> Any:
    from dense3d.radiance.splats.viewer import SplatViewer

    viewer = SplatViewer(views, extent)
    tell(f"the scene is shown at {viewer.url} while it is fitted")
    return viewer


def _finish(
    fitter: Fitter, train: list[PosedView], test: list[PosedView], out: Path, seconds: float
) -> FitReport:
    background = fitter.background()
    write_splats(fitter.gaussians, out / FILE)
    render = partial(render_view, fitter.gaussians)
    scores = evaluate(render, SPLATS, train, test, background, fitter.extent)
    scores.write(
        out,
        gaussians=len(fitter.gaussians),
        steps=fitter.step,
        seconds_of_this_run=round(seconds, 1),
        settings=fitter.settings.as_dict(),
    )
    pictures = []
    for number, view in enumerate(test):
        pictures.append(out / "held_out" / f"{number:03d}.png")
        write_picture(preview(render(view, background), view, background), pictures[-1])
    return FitReport(fitter.gaussians, out / FILE, scores, pictures, seconds=seconds)
