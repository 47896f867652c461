"""The state as pages get it (:mod:`~dense3d.transfer_function.server.protocol`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from dense3d.structures.volume_axes import axis_codes
from dense3d.transfer_function.functions import preset, preset_names
from dense3d.transfer_function.marks import AnyMark, Box, Lasso, Point, Stroke
from dense3d.transfer_function.methods import METHODS, method_names
from dense3d.transfer_function.shown_function import shown
from dense3d.transfer_function.windows import full_window, modality_of, thinned, windows
from dense3d.transfer_function.workspace import Workspace

if TYPE_CHECKING:
    from dense3d.transfer_function.functions import Histogram2D
    from dense3d.transfer_function.server.hub import Hub


def volume_state(workspace: Workspace) -> dict[str, Any]:
    """What a page needs to know of the volume; it never changes."""
    volume, working = workspace.volume, workspace.working
    offered = windows(working)
    everything = full_window(working.values)
    counts, _ = np.histogram(thinned(working.values), 256, (everything.low, everything.high))
    modality, guessed = modality_of(working)
    return {
        "name": volume.name,
        "shape": volume.shape,
        "spacing": volume.spacing,
        "affine": volume.affine.tolist(),
        "orientation": axis_codes(volume.source.affine),
        "dtype": str(volume.values.dtype),
        "range": [everything.low, everything.high],
        "modality": modality,
        "frames": int(volume.source.details.get("frames", 1)),
        "working": {
            "shape": working.shape,
            "spacing": working.spacing,
            "affine": working.affine.tolist(),
            "factors": workspace.factors,
        },
        "window": {"low": offered[0].low, "high": offered[0].high},
        "presets": [{"name": one.name, "low": one.low, "high": one.high} for one in offered],
        "histogram": {"counts": counts.tolist(), "low": everything.low, "high": everything.high},
        "transfer_functions": [
            msgspec.to_builtins(shown(preset(name, working))) for name in preset_names(working)
        ],
        "notes": [*working.notes, *([guessed] if guessed else [])],
    }


def volume_bytes(workspace: Workspace) -> bytes:
    """uint16 little endian on the working grid, x fastest, its range to 0..65535."""
    values = workspace.working.values
    everything = full_window(values)
    scale = 65535 / (everything.high - everything.low)
    parts = []
    for index in range(values.shape[2]):  # a slice at a time needs little memory
        share = (values[:, :, index].T.astype(np.float64) - everything.low) * scale
        parts.append(np.rint(np.clip(share, 0, 65535)).astype("<u2").tobytes())
    return b"".join(parts)


def slopes_histogram(workspace: Workspace) -> Histogram2D:
    """Voxels by value and gradient magnitude, up to the steepest thousandth: where 2D functions are drawn."""
    from dense3d.transfer_function.functions import histogram_2d

    everything = full_window(workspace.working.values)
    ends = everything.low, everything.high
    whole = histogram_2d(workspace.working, 16, 1024, ends)
    below = whole.counts.sum(0).cumsum()
    end = (int(np.searchsorted(below, 0.999 * below[-1])) + 1) / 1024
    return histogram_2d(workspace.working, 128, 64, ends, end * whole.steepest)


def state(hub: Hub) -> dict[str, Any]:
    """Everything that a page shows, as it is now."""
    workspace, measures = hub.workspace, hub.measures
    with workspace.lock:
        document, history = workspace.document, workspace.history
        hidden, revision, view = set(workspace.hidden), workspace.revision, workspace.view
        steps, undo, redo = workspace.steps, history.undo_name, history.redo_name
        slots = hub.sync_slots()
    figures = {} if measures is None else measures.millilitres
    agreement = {} if measures is None else measures.dice
    unsure = None if measures is None else measures.uncertainty
    return {
        "type": "state",
        "revision": revision,
        "measured": -1 if measures is None else measures.revision,
        "volume": hub.volume_state,
        "classes": [
            {
                **msgspec.to_builtins(one),
                "visible": one.id not in hidden,
                "slot": slots.index(one.id),
                "ml": figures.get(one.id),
                "dice": agreement.get(one.id),
            }
            for one in document.classes
        ],
        "prompts": [_mark(mark) for mark in document.marks],
        "undo": undo,
        "redo": redo,
        "steps": steps,
        "method": workspace.method,
        "methods": [
            {"name": name, "label": METHODS[name].label} for name in method_names(workspace.checkpoint)
        ],
        "transfer_function": msgspec.to_builtins(document.transfer_function),
        "uncertainty": None
        if unsure is None
        else {"counts": unsure.counts.tolist(), "unsure": round(unsure.unsure, 6)},
        "ready": workspace.ready,
        "progress": hub.last_progress,
        "view": view,
        "file": hub.file,
        "session": hub.session_state(),
        "notes": [*([hub.problem] if hub.problem else []), *workspace.import_notes],
    }


def _mark(mark: AnyMark) -> dict[str, Any]:
    """A mark and a voxel in its middle, to which a page can jump."""
    if isinstance(mark, Point):
        centre = mark.voxel
    elif isinstance(mark, Box):
        centre = tuple((low + high) // 2 for low, high in zip(mark.low, mark.high))
    elif isinstance(mark, Lasso):
        middle = [round(sum(corner) / len(mark.polygon)) for corner in zip(*mark.polygon)]
        centre = (*middle[: mark.axis], mark.index, *middle[mark.axis :])
    else:
        centre = mark.path[len(mark.path) // 2]
    found = {"positive": mark.positive, **msgspec.to_builtins(mark), "center": centre}
    if isinstance(mark, Point):
        found["voxels"] = [found.pop("voxel")]
    elif isinstance(mark, Stroke):
        found["voxels"] = found.pop("path")
    return found
