"""Segmentations and transfer functions that come in: to go on from, or to compare with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dense3d.errors import DataError
from dense3d.files import CONTROL
from dense3d.transfer_function import session
from dense3d.transfer_function.history import Imported
from dense3d.transfer_function.structure_classes import COLORS, MOST_CLASSES, StructureClass

if TYPE_CHECKING:
    from dense3d.transfer_function.workspace import Workspace

MOST_TIMES = 8  # voxels of a segmentation file, beside those of the volume


def read_labels(
    workspace: Workspace, path: str | os.PathLike
) -> tuple[np.ndarray, dict, dict, tuple[str, ...]]:
    """(X, Y, Z) labels of a file on the workspace's canonical grid, their names and colours, and notes.

    Raises:
        DataError: the file is no segmentation of this volume.
    """
    from dense3d.datasets.volumes import read_segmentation

    _check_size(workspace, path)
    found = read_segmentation(path, workspace.volume)
    labels = found.labels
    if labels.shape != workspace.volume.shape:  # the volume was reduced when it was opened
        places = [np.minimum(np.arange(n) * f + f // 2, size - 1) for n, f, size in _grids(workspace, labels)]
        labels = labels[np.ix_(*places)]
    names = {}
    for label, name in found.names.items():  # what is two structures in the file stays two
        clean = _clean(name)
        names[int(label)] = f"{clean[:90]} ({label})" if clean in names.values() else clean
    return labels, names, dict(found.colors), found.notes


def import_segmentation(
    workspace: Workspace, path: str | os.PathLike, names: Mapping[int, str] | None = None
) -> str | None:
    """Go on from a segmentation: it holds, and marks refine it.

    A label joins the class of its name, or makes a new one; where a file gives several labels one name, the
    later ones get their number. An earlier import is replaced. What a person should know, such as that labels
    of another grid were resampled, is in ``workspace.import_notes``.

    Args:
        workspace: whose volume it is of.
        path: a segmentation file on the grid of the volume's file.
        names: of labels, where the file does not say them, as NIfTI cannot.

    Returns:
        The name of the step.

    Raises:
        DataError: it is no segmentation of this volume, or has too many labels.
    """
    from dense3d.datasets.volumes.segmentation import present_labels

    labels, stated, colors, notes = read_labels(workspace, path)
    names = {**stated, **{label: _clean(name) for label, name in (names or {}).items()}}
    present = [label for label in present_labels(labels) if label]
    if not present:
        raise DataError(f"{path} has no labelled voxel; choose another segmentation")
    with workspace.lock:
        classes, number = list(workspace.classes), workspace.next_class
        table = np.zeros(max(present) + 1, np.uint8)
        by_name = {one.name: one.id for one in classes}
        called_by = {label: names.get(label) or f"label {label}" for label in present}
        if number + len(set(called_by.values()) - by_name.keys()) - 1 > MOST_CLASSES:
            raise DataError(
                f"{path} has {len(present)} labels; a session has at most {MOST_CLASSES} classes: join some"
            )
        for label, called in called_by.items():
            if called not in by_name:
                color = tuple(round(255 * part) for part in colors.get(label, ()))
                color = color or COLORS[(number - 1) % len(COLORS)]
                classes.append(StructureClass(id=number, name=called, color=color))
                by_name[called] = number
                number += 1
            table[label] = by_name[called]
        joined = np.empty(labels.shape, np.uint8)
        for plane, from_file in zip(joined, labels):  # looking up needs 8 bytes a voxel
            plane[:] = table[from_file]
        imported = Imported(joined, Path(path).name, notes)
        return workspace.add_import(imported, tuple(classes))


def load_reference(
    workspace: Workspace, path: str | os.PathLike, names: Mapping[int, str] | None = None
) -> list[str]:
    """Compare with a segmentation from now on; it changes nothing else.

    Args:
        workspace: whose classes are compared.
        path: a segmentation file of its volume.
        names: of labels, where the file does not say them.

    Returns:
        Names of its structures. A structure is compared with the class of its name, whatever its case; one
        without a name with the class of its number.
    """
    from dense3d.datasets.volumes.segmentation import default_name, present_labels

    labels, stated, _, _ = read_labels(workspace, path)
    names = {**stated, **(names or {})}
    found = {}
    numbered = {one.id: one.name for one in workspace.classes}
    for label in present_labels(labels):
        if label:
            name = names.get(label, default_name(label))
            name = numbered.get(label, name) if name == default_name(label) else name
            holds = labels == label
            found[name] = found[name] | holds if name in found else holds
    workspace.set_reference(found)
    return list(found)


def import_session(workspace: Workspace, path: str | os.PathLike) -> str | None:
    """Take up classes and marks of a session file as a step, which undo takes back.

    Returns:
        The name of the step.

    Raises:
        SessionError: it is damaged, of another version, or made for another volume.
    """
    name = Path(path).name
    found = session.restored(
        session.decode(session.read(path), name), workspace.grid, workspace.identity, name
    )
    return workspace.replace_by(found.document, f"import of {name}")


def import_transfer_function(workspace: Workspace, path: str | os.PathLike) -> str | None:
    """Show intensities by a transfer function of a file (:mod:`~.functions.files`).

    Returns:
        The name of the step.

    Raises:
        DataError: it is none, or a 2D one of other regions than boxes.
    """
    from dense3d.transfer_function.functions import read_transfer_function

    return workspace.set_transfer_function(read_transfer_function(path))


def _clean(name: str) -> str:
    """A name that a class can have: one line of at most 100 characters."""
    return CONTROL.sub(" ", str(name)).strip()[:100].strip()


def _check_size(workspace: Workspace, path: str | os.PathLike) -> None:
    """Refuse what unfolds to far more voxels than the volume has, before any of it is read."""
    from dense3d.datasets.volumes import volume_header

    if Path(path).is_file() and not str(path).lower().endswith(".dcm"):
        header = volume_header(path)
        voxels = int(np.prod(header.shape, dtype=object)) * header.frames
        most = MOST_TIMES * int(np.prod(workspace.volume.full_shape)) + 10**6
        if voxels > most:
            raise DataError(
                f"{path} has {voxels} voxels, far more than the volume; choose a segmentation of it"
            )


def _grids(workspace: Workspace, labels: np.ndarray) -> list[tuple[int, int, int]]:
    volume = workspace.volume
    return list(zip(volume.shape, volume.factors, labels.shape))
