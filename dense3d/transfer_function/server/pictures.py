"""Pictures of slices, for pages that cannot draw them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.marks import PromptError
from dense3d.transfer_function.resolving import resolve
from dense3d.transfer_function.server.protocol import MAX_SIDE
from dense3d.transfer_function.windows import Window, windows
from dense3d.transfer_function.workspace import Workspace

if TYPE_CHECKING:
    from dense3d.transfer_function.rendering import Scene

OVERLAY = 0.45  # of a class's colour over the grey value


def slice_picture(
    workspace: Workspace,
    axis: int,
    index: int,
    width: int | None = None,
    overlay: bool = True,
    window: tuple[float, float] | None = None,
) -> np.ndarray:
    """A slice of the volume with the classes in their colours.

    Args:
        workspace: with volume and classes.
        axis: across which the slice is.
        index: of the slice, in the canonical grid.
        width: pixels; the height follows from the millimetres. One a voxel unless given.
        overlay: whether classes are drawn.
        window: values of black and white; the volume's first window unless given.

    Returns:
        (H, W, 3) uint8. Columns are the first of the other two axes, rows the second, its end on top.

    Raises:
        PromptError: there is no such slice.
    """
    if axis not in (0, 1, 2) or not 0 <= index < workspace.volume.shape[axis]:
        raise PromptError(f"there is no slice {index} across axis {axis}")
    first, second = (other for other in range(3) if other != axis)
    limits = Window("", *window) if window else windows(workspace.working)[0]
    grey = limits.apply(np.take(workspace.volume.values, index, axis))
    picture = np.repeat(255 * grey[..., None], 3, 2)
    if overlay and workspace.ready:
        colors, labels = _plane_labels(workspace, axis, index)
        places = [np.arange(workspace.volume.shape[a]) // workspace.factors[a] for a in (first, second)]
        full = labels[np.ix_(*places)]
        share = (OVERLAY * (full > 0))[..., None]
        picture = (1 - share) * picture + share * colors[full]
    picture = np.rint(picture).astype(np.uint8).swapaxes(0, 1)[::-1]
    spacing = workspace.volume.spacing
    return _resized(picture, width or picture.shape[1], spacing[first], spacing[second])


def scene_of(workspace: Workspace, fields: Mapping[str, str]) -> Scene:
    """The 3D view that a page asks for.

    Args:
        workspace: with volume and classes.
        fields: of the query (:mod:`~dense3d.transfer_function.server.protocol`).

    Raises:
        DataError: a field is not possible.
    """
    from dense3d.transfer_function.rendering import Clip
    from dense3d.transfer_function.view_camera import Camera

    camera = Camera(
        number(fields, "azimuth", 0.0, -1e6, 1e6),
        number(fields, "elevation", 0.0, -1e6, 1e6),
        number(fields, "zoom", 1.0, 0.01, 1000.0),
        pan=(number(fields, "pan_x", 0.0, -100, 100), number(fields, "pan_y", 0.0, -100, 100)),
    )
    sides = [round(number(fields, side, 512, 1, MAX_SIDE)) for side in ("width", "height")]
    options: dict[str, Any] = {"shading": number(fields, "shading", 1.0, 0.0, 1.0)}
    if "low" in fields or "high" in fields:
        options["clip"] = Clip(corner(fields, "low", 0.0), corner(fields, "high", 1.0))
    if fields.get("volume") == "0":
        options["transfer"] = None
    return workspace.scene(camera, *sides, fields.get("quality", "preview"), **options)


def number(fields: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """A number of a query.

    Raises:
        DataError: it is none from ``low`` to ``high``.
    """
    text = fields.get(name)
    if text is None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not low <= found <= high:
        raise DataError(f"{name} is a number from {low:g} to {high:g}, not {text[:20]!r}")
    return found


def corner(fields: Mapping[str, str], name: str, default: float) -> tuple[float, float, float]:
    """Three shares of a query, with commas between them."""
    parts = fields.get(name, "").split(",") if name in fields else [str(default)] * 3
    if len(parts) != 3:
        raise DataError(f"{name} is three numbers from 0 to 1 with commas, not {fields[name][:60]!r}")
    return tuple(number({name: part}, name, default, 0.0, 1.0) for part in parts)


def png(picture: np.ndarray) -> bytes:
    """A PNG file of an (H, W, 3) uint8 picture."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _plane_labels(workspace: Workspace, axis: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """(1 + C, 3) colours and the (A, B) columns of them on the working grid; hidden classes are left out."""
    snapshot = workspace.snapshot()
    kept, working = workspace.kept_scores(snapshot), index // workspace.factors[axis]
    if kept is not None:
        plane = np.take(kept, working, axis + 1)
    else:
        plane = workspace.classified(snapshot).plane(axis, working)
    labels = resolve(plane, snapshot.thresholds)
    shown = [one.id not in workspace.hidden for one in snapshot.document.classes]
    labels = np.where(np.array([False, *shown])[labels], labels, 0)
    colors = [(0, 0, 0), *(one.color for one in snapshot.document.classes)]
    return np.array(colors, np.float32), labels


def _resized(picture: np.ndarray, width: int, column: float, row: float) -> np.ndarray:
    """The picture with square millimetres and a width."""
    from PIL import Image

    height = round(picture.shape[0] * row / (picture.shape[1] * column) * width)
    if not 1 <= width <= MAX_SIDE:
        raise DataError(f"a picture is 1 to {MAX_SIDE} pixels wide, not {width}")
    size = (width, min(max(height, 1), 4 * MAX_SIDE))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR))
