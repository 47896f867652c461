"""Splats of a file as the cameras of a scene see them: pictures, scores, a video, a mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch

from dense3d.apis.building import usable_device
from dense3d.datasets.posed_rgb import read_scene
from dense3d.errors import ConfigError
from dense3d.files import inside, require_writable_folder
from dense3d.radiance.evaluation import SPLATS, Scores, score
from dense3d.radiance.splats.outputs import MESH, VIDEO, mesh_into, require_extras, video_into
from dense3d.radiance.splats.ply_files import read_splats
from dense3d.radiance.splats.rendering import render_view
from dense3d.radiance.views import load_views
from dense3d.visualization.pictures import write_picture


@dataclass
class RenderReport:
    """What :func:`render_splats` wrote.

    Attributes:
        pictures: one a photograph, by its name.
        scores: against the photographs.
        video, mesh: files, if they were asked for.
    """

    scores: Scores
    pictures: list[Path] = field(default_factory=list)
    video: Path | None = None
    mesh: Path | None = None


def render_splats(
    splats: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    downscale: float = 1.0,
    background: str | None = None,
    device: str | None = None,
    axes: str = "opengl",
    video: bool = False,
    mesh: bool = False,
    voxel: float | None = None,
    tell: Callable[[str], None] = print,
) -> RenderReport:
    """Render a file of splats for the cameras of a scene, and compare with its photographs.

    Args:
        splats: ply file.
        scene: posed photographs in the frame of the splats.
        out: folder; gets ``renders/NAME.png``, ``metrics.json`` and ``metrics.csv``.
        downscale: make images smaller by this factor.
        background: ``"black"`` or ``"white"``; None takes white where photographs have alpha channels, as a
            fit is scored, else black.
        device: ``"cpu"``, ``"cuda"``, ...; a GPU if there is one unless given.
        axes: of transforms files, see :func:`~dense3d.datasets.posed_rgb.read_scene`.
        video, mesh, voxel: see :func:`~dense3d.apis.splat_fitting.fit_splats`.
        tell: is given lines on what happens.

    Raises:
        DataError: a file is missing, damaged or of another kind.
        ConfigError: an argument is out of range.
    """
    out = Path(out)
    if background not in (None, "black", "white"):
        raise ConfigError(f"background={background!r} is none of black, white")
    require_writable_folder(out)
    require_extras(video, mesh, voxel)
    place = usable_device(device)
    gaussians = read_splats(splats).to(place)
    views = load_views(read_scene(scene, axes=axes), downscale, with_depth=False)
    if background is None:
        background = "white" if any(view.alpha is not None for view in views) else "black"
    behind = torch.full((3,), float(background == "white"))
    report = RenderReport(Scores())
    for view in views:
        image = render_view(gaussians, view, behind)
        report.scores.rows[view.name] = {SPLATS: score(image, view, behind)}
        name = _picture_name(view.name, report.pictures, out / "renders")
        report.pictures.append(inside(out / "renders", name, scene))
        write_picture((image * 255).round().byte().numpy(), report.pictures[-1])
    report.scores.write(out, splats=str(splats), gaussians=len(gaussians))
    if video:
        report.video = video_into(gaussians, views, out / VIDEO, behind, tell)
    if mesh:
        report.mesh = mesh_into(gaussians, views, out / MESH, voxel, tell)
    return report


def _picture_name(name: str, taken: list[Path], folder: Path) -> str:
    """Where a photograph's render goes: its name without what leads out of the folder, told from others."""
    parts = [part for part in PurePosixPath(name.replace(":", "_")).parts if part not in ("/", "..")]
    place = PurePosixPath(*parts)
    found = place.with_suffix(".png")
    while folder / found in taken:
        place = found = place.with_name(f"{place.name}.png")
    return found.as_posix()
