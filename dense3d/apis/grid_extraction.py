"""From photographs, or a field of nerfstudio, to a grid of colour and density in the world of the poses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dense3d.apis.building import usable_device
from dense3d.datasets.posed_rgb import PosedScene, read_scene, require_fitting_poses
from dense3d.engine.lock import locked
from dense3d.errors import ConfigError, DataError
from dense3d.files import require_writable_folder
from dense3d.optional import require
from dense3d.radiance.evaluation import Scores, evaluate
from dense3d.radiance.extent import common_sight, scene_extent
from dense3d.radiance.grids.boxes import checked_box, fit_box, scene_box
from dense3d.radiance.grids.cameras_file import read_boxes, write_boxes, write_cameras
from dense3d.radiance.grids.extraction import Cleaning, GridSource, check_options, extract_radiance_grid
from dense3d.radiance.grids.fitting import GridFitter
from dense3d.radiance.grids.memory import require_room
from dense3d.radiance.grids.nerfacto_fitting import NerfactoFitter
from dense3d.radiance.grids.nerfacto_settings import NerfactoSettings
from dense3d.radiance.grids.nerfstudio_runs import read_run, run_config
from dense3d.radiance.grids.pictures import ORBIT, GridPicture, contact_sheet, projections
from dense3d.radiance.grids.settings import GridSettings
from dense3d.radiance.orbit import FRAMES_PER_SECOND, SECONDS, orbit, require_video, write_video
from dense3d.radiance.previews import preview
from dense3d.radiance.session import Session, load_state, require_new
from dense3d.radiance.views import HOLD_OUT_EVERY, PosedView, held_out, load_views
from dense3d.structures.radiance_grid import RadianceGrid
from dense3d.visualization.pictures import write_picture

SETTINGS = {"grid": GridSettings, "nerfacto": NerfactoSettings}
SHELL = 0.5  # of a scene that goes on outside of the box
NEAR_SHARE = 0.02  # of the distance to what is looked at, or of the extent: nothing is nearer to a camera
GRID, CAMERAS, BOXES = "grid.npz", "cameras.json", "boxes.npy"


@dataclass
class GridReport:
    """What :func:`extract_grid` wrote and found.

    Attributes:
        grid: as it was written.
        file: its file.
        box_from: where its box comes from.
        cleaned: what was taken for empty.
        scores: of the photographs that were held out, and of baselines; empty for a run of nerfstudio.
        pictures: of the grid.
        boxes_inside: boxes that were given and whose centre is in the grid; None if none were.
        left_out: photographs that could not be used, and why.
        seconds: of the fit in this run, and of sampling.
    """

    grid: RadianceGrid
    file: Path
    box_from: str
    cleaned: Cleaning
    scores: Scores = field(default_factory=Scores)
    pictures: list[Path] = field(default_factory=list)
    boxes_inside: int | None = None
    left_out: tuple[str, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)


def extract_grid(
    source: str | Path | PosedScene,
    out: str | Path,
    method: str = "grid",
    settings: GridSettings | NerfactoSettings | None = None,
    *,
    box: str | Sequence[float] = "auto",
    resolution: int = 160,
    unbounded: bool | None = None,
    delta: float | None = None,
    directions: str = "cameras",
    min_views: int = 2,
    alpha: bool = False,
    boxes: str | Path | None = None,
    data: str | Path | None = None,
    downscale: float = 1.0,
    masks: str | Path | None = None,
    masks_show: str = "object",
    hold_out: int = HOLD_OUT_EVERY,
    axes: str = "opengl",
    check_poses: bool = True,
    resume: bool = False,
    device: str | None = None,
    video: bool = False,
    save_every: int | None = None,
    tell: Callable[[str], None] = print,
) -> GridReport:
    """Fit a field to the photographs of a scene, or take one of nerfstudio, and sample it on a grid.

    Args:
        source: folder or file of posed photographs, see :func:`~dense3d.datasets.posed_rgb.read_scene`; or
            the folder or ``config.yml`` of a run of nerfstudio, of a method in
            :data:`~dense3d.radiance.grids.nerfstudio_fields.METHODS`.
        out: folder; gets ``grid.npz``, ``cameras.json``, ``projections.png``, ``orbit.png``; of a fit
            ``metrics.json``, ``metrics.csv``, ``previews``, ``held_out``, ``state.pth``; and ``orbit.mp4``,
            ``boxes.npy`` if asked for.
        method: ``"grid"``, a grid fitted directly, or ``"nerfacto"``, nerfstudio's field (extra ``nerf``).
        settings: of the fit, of the kind that belongs to the method.
        box: six numbers x0, y0, z0, x1, y1, z1 in the world of the poses, or a kind of
            :func:`~dense3d.radiance.grids.boxes.scene_box`.
        resolution: samples along the longest side of the box.
        unbounded: the scene goes on outside of the box; by default where photographs have no alpha channel
            and no masks.
        delta: thickness that opacities are for, in world units; the edge of a voxel unless given.
        directions, min_views: see :func:`~dense3d.radiance.grids.extraction.extract_radiance_grid`.
        alpha: store opacities, which are never converted again, instead of densities.
        boxes: npy file of boxes in the world, (N, 6) or (N, 7), to be written in voxels, too.
        data: photographs of a run of nerfstudio, where they have moved.
        downscale, masks, masks_show: see :func:`~dense3d.radiance.views.load_views`.
        hold_out: one of so many photographs is kept for evaluation; 0 keeps none.
        axes: of transforms files.
        check_poses: match photographs to see whether the poses fit them.
        resume: go on with the fit in ``out``.
        device: ``"cpu"``, ``"cuda"``, ...; a GPU if there is one unless given.
        video: write a video.
        save_every: steps between checkpoints; one a minute unless given.
        tell: is given lines on what happens.

    Raises:
        DataError, ConfigError, CheckpointError, TrainingError, MissingDependencyError: one sentence each.
    """
    out, config = Path(out), _checked(source, method, resolution, video)
    check_options(directions, delta, min_views)
    if settings is not None and type(settings) is not SETTINGS[method]:
        raise ConfigError(
            f"method={method!r} has settings of {SETTINGS[method].__name__}, not of {type(settings).__name__}"
        )
    if config is not None:
        _refuse_options_of_fits(config, settings, unbounded, resume)
    elif data is not None:
        raise ConfigError("data is of a run of nerfstudio, which the source is not; leave it out")
    settings = settings or SETTINGS[method]()
    require_writable_folder(out)
    if not resume and config is None:
        require_new(out)
    given_boxes = None if boxes is None else read_boxes(boxes)
    with locked(out):
        run = None if config is None else read_run(config, data)
        if run is not None:
            tell(f"{run.method} of nerfstudio, step {run.step}, of the photographs {run.data}")
            source = run.data
        scene = source if isinstance(source, PosedScene) else read_scene(source, axes=axes)
        if len(scene.frames) < 2:
            raise DataError(f"{scene.root} has {len(scene.frames)} photograph: a grid needs at least two")
        if check_poses and not resume:
            require_fitting_poses(scene)
        views = load_views(scene, downscale, masks, masks_show)
        place, box_from = _box(box, views, scene)
        tell(f"box {_words(place)} ({box_from})")
        near = NEAR_SHARE * (common_sight(views)[1] or scene_extent(views))
        if run is None:
            settings = _settled(settings, views, unbounded)
            train, test = held_out(views, hold_out)
            fitter = _fitter(settings, train, place, resolution, near, device, resume, out, tell)
            asked = _fitted(fitter, method, train, test, out, save_every, tell)
        else:
            require_room(place, resolution, None, 0)
            run.source.field.to(usable_device(device))
            asked = _Asked(run.source, views)
        begin = time.monotonic()
        options = dict(
            delta=delta, directions=directions, min_views=min(min_views, len(asked.views)), near=near
        )
        grid, cleaned = extract_radiance_grid(asked.source, place, resolution, asked.views, **options)
        grid = replace(grid.to_alpha() if alpha else grid, source=str(out / GRID))
        grid.save(out / GRID)
        if not grid.as_alpha().occupied.any():
            tell("warning: nothing in the grid is opaque: look at held_out, take more steps or another box")
        write_cameras(views, out / CAMERAS)
        report = GridReport(grid, out / GRID, box_from, cleaned, asked.scores, left_out=scene.left_out)
        report.seconds = asked.seconds, max(time.monotonic() - begin, 1e-9)
        if given_boxes is not None:
            report.boxes_inside = write_boxes(given_boxes, grid, out / BOXES)
            outside = len(given_boxes) - report.boxes_inside
            if outside:
                tell(
                    f"warning: {outside} of {len(given_boxes)} boxes have their centre outside of the grid, "
                    "which a data set refuses: leave them out, or take a larger box (--box)"
                )
        report.pictures = _drawn(grid, views, out, video, tell)
    return report


class _Asked(NamedTuple):
    """A field, the photographs that it was made of, and how well it shows others."""

    source: GridSource
    views: list[PosedView]
    scores: Scores = Scores()
    seconds: float = 0.0


def _checked(source: Any, method: str, resolution: int, video: bool) -> Path | None:
    """The config of a run of nerfstudio, if the source is one; what is wrong is said before any work."""
    if method not in SETTINGS:
        raise ConfigError(f"method={method!r} is none of {', '.join(SETTINGS)}")
    if resolution < 2:
        raise ConfigError(f"resolution={resolution}: a grid has at least 2 samples a side")
    if video:
        require_video()
    if isinstance(source, PosedScene):
        return None
    path = Path(source)
    if path.suffix == ".npz":
        raise DataError(
            f"{path} is a grid already, and sampling it once more would blur it; name the photographs or the "
            "run that it was made of"
        )
    config = run_config(path)
    if config is not None and method != "grid":
        raise ConfigError(f"method={method!r}: {config} is of a field that is trained; leave the method out")
    if method == "nerfacto" or config is not None:
        require("nerfstudio", "fields of nerfstudio")
    return config


def _refuse_options_of_fits(config: Path, settings: Any, unbounded: bool | None, resume: bool) -> None:
    given = {
        "settings of a fit": settings not in (None, GridSettings()),
        "unbounded": unbounded is not None,
        "resume": resume,
    }
    for name, there in given.items():
        if there:
            raise ConfigError(
                f"{name}: {config} is of a field that is trained, nothing is fitted; leave it out"
            )


def _box(box: str | Sequence[float], views: list[PosedView], scene: PosedScene) -> tuple[np.ndarray, str]:
    if isinstance(box, str):
        return scene_box(views, box, scene.points)
    return checked_box(box, views), "given"


def _settled(
    settings: GridSettings | NerfactoSettings, views: list[PosedView], unbounded: bool | None
) -> GridSettings | NerfactoSettings:
    """With a background and a shell that suit photographs of an object alone, or of a scene."""
    has_alpha = any(view.alpha is not None for view in views)
    if has_alpha and settings.background == "black":
        settings = replace(settings, background="random")
    if unbounded is None:
        unbounded = not has_alpha
    return replace(settings, shell=(settings.shell or SHELL) if unbounded else 0.0)


def _fitter(
    settings: GridSettings | NerfactoSettings,
    train: list[PosedView],
    place: np.ndarray,
    resolution: int,
    near: float,
    device: str | None,
    resume: bool,
    out: Path,
    tell: Callable[[str], None],
) -> GridFitter | NerfactoFitter:
    inner = fit_box(place, train, settings.shell)
    whole = (inner - inner.mean(axis=0)) * (1 + settings.shell)
    is_grid = isinstance(settings, GridSettings)
    require_room(place, resolution, whole if is_grid else None, settings.resolution if is_grid else 0)
    fitter, where = GridFitter if is_grid else NerfactoFitter, usable_device(device)
    if resume:
        found = fitter.resumed(train, settings, load_state(out, fitter.kind), where)
        if not settings.shell:
            _require_within(place, found.box, out)
        tell(f"going on after step {found.step}")
        return found
    found = fitter(train, inner, settings, near, where)
    camera = train[0].camera
    tell(f"{len(train)} photographs of {camera.width} x {camera.height} pixels to fit; {found.size()}")
    return found


def _require_within(place: np.ndarray, fitted: np.ndarray, out: Path) -> None:
    """Refuse a box of which a bounded fit knows nothing; a field's sides are rounded to voxels."""
    slack = (fitted[1] - fitted[0]).max() / 16
    if (place[0] < fitted[0] - slack).any() or (place[1] > fitted[1] + slack).any():
        raise ConfigError(
            f"the fit in {out} is of the box {_words(fitted)}, and the box {_words(place)} reaches out of "
            "it: take one within, or another folder for a new fit"
        )


def _fitted(
    fitter: GridFitter | NerfactoFitter,
    method: str,
    train: list[PosedView],
    test: list[PosedView],
    out: Path,
    save_every: int | None,
    tell: Callable[[str], None],
) -> _Asked:
    """Fit to the end, score what was held out, and draw it."""
    begin = time.monotonic()
    Session(fitter, out, test, tell).run(save_every)
    seconds, background = time.monotonic() - begin, fitter.background()
    images = {view.name: fitter.picture(view, background) for view in test}
    scores = evaluate(lambda view, _: images[view.name], method, train, test, background, scene_extent(train))
    scores.write(
        out,
        method=method,
        size=fitter.size(),
        steps=fitter.step,
        seconds_of_this_run=round(seconds, 1),
        settings=fitter.settings.as_dict(),
    )
    for number, view in enumerate(test):
        write_picture(preview(images[view.name], view, background), out / "held_out" / f"{number:03d}.png")
    return _Asked(fitter.source, train, scores, seconds)


def _drawn(
    grid: RadianceGrid, views: list[PosedView], out: Path, video: bool, tell: Callable[[str], None]
) -> list[Path]:
    """Files of pictures, and of a video."""
    picture, files = GridPicture(grid), [out / "projections.png", out / "orbit.png"]
    write_picture(projections(picture), files[0])
    write_picture(contact_sheet(picture, orbit(views, ORBIT)), files[1])
    if video:
        cameras = orbit(views, SECONDS * FRAMES_PER_SECOND)
        tell(f"rendering {len(cameras)} frames of a video")
        files.append(out / "orbit.mp4")
        write_video(picture, cameras, files[-1], torch.zeros(3))
    return files


def _words(box: np.ndarray) -> str:
    low, high = (", ".join(f"{value:.4g}" for value in corner) for corner in box)
    return f"[{low}] to [{high}]"
