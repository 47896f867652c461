"""Pictures of slices, for pages that cannot draw them."""

from __future__ import annotations

import io

import numpy as np

from dense3d.errors import DataError
from dense3d.transfer_function.marks import PromptError
from dense3d.transfer_function.measures import winners
from dense3d.transfer_function.server.protocol import MAX_SIDE
from dense3d.transfer_function.windows import Window, windows
from dense3d.transfer_function.workspace import Workspace

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
    labels = winners(plane, snapshot.thresholds)
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
