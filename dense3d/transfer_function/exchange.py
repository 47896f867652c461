"""Segmentations that come in, and everything that goes out, by format."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import atomic_write
from dense3d.transfer_function.editing import COLORS, MOST_CLASSES
from dense3d.transfer_function.history import Imported, StructureClass

if TYPE_CHECKING:
    from dense3d.transfer_function.workspace import Workspace


@dataclass(frozen=True)
class ExportFormat:
    """A format that a workspace is written in.

    Args:
        label: what a page calls it.
        suffix: of the file's name.
        write: writes the structures of some classes to a path.
    """

    label: str
    suffix: str
    write: Callable[[Workspace, Path, Sequence[int]], None]


def export(
    workspace: Workspace,
    path: str | os.PathLike,
    format: str | None = None,
    class_ids: Sequence[int] | None = None,
) -> Path:
    """Write a workspace's result.

    Args:
        workspace: what is written.
        path: the file, which appears whole or not at all.
        format: one of :data:`FORMATS`; that of the path's suffix unless given.
        class_ids: only these classes; all unless given.

    Returns:
        The path.

    Raises:
        ConfigError: there is no such format.
        ClassError: there is no such class.
    """
    path = Path(path)
    if format is None:
        fitting = [name for name, one in FORMATS.items() if path.name.lower().endswith(one.suffix)]
        if not fitting:
            suffixes = ", ".join(dict.fromkeys(one.suffix for one in FORMATS.values()))
            raise ConfigError(f"{path}: no format has this suffix; end the name with one of {suffixes}")
        format = fitting[0]
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS) or ";"
        raise ConfigError(f"there is no export format {format[:40]!r}{hint} formats: {', '.join(FORMATS)}")
    ids = [one.id for one in workspace.classes] if class_ids is None else list(class_ids)
    for class_id in ids:
        workspace.class_of(class_id)
    FORMATS[format].write(workspace, path, ids)
    return path


def read_labels(workspace: Workspace, path: str | os.PathLike) -> tuple[np.ndarray, dict, dict]:
    """(X, Y, Z) labels of a file on the workspace's canonical grid, their names and colours.

    Raises:
        DataError: the file is no segmentation of this volume.
    """
    from dense3d.datasets.volumes import read_segmentation

    found = read_segmentation(path, workspace.volume)
    labels = found.labels
    if labels.shape != workspace.volume.shape:  # the volume was reduced when it was opened
        places = [np.minimum(np.arange(n) * f + f // 2, size - 1) for n, f, size in _grids(workspace, labels)]
        labels = labels[np.ix_(*places)]
    names = {int(label): str(name).strip()[:100] for label, name in found.names.items()}
    return labels, names, dict(found.colors)


def import_segmentation(workspace: Workspace, path: str | os.PathLike, name: str | None = None) -> str | None:
    """Go on from a segmentation: it holds, and marks refine it.

    A label joins the class of its name, or makes a new one. An earlier import is replaced.

    Args:
        workspace: whose volume it is of.
        path: a segmentation file on the grid of the volume's file.
        name: of the step; the file's name unless given.

    Returns:
        The name of the step.

    Raises:
        DataError: it is no segmentation of this volume, or has too many labels.
    """
    labels, names, colors = read_labels(workspace, path)
    present = [int(label) for label in np.unique(labels) if label]
    if not present:
        raise DataError(f"{path} has no labelled voxel; choose another segmentation")
    with workspace.lock:
        classes, number = list(workspace.classes), workspace.next_class
        if number + len(present) - 1 > MOST_CLASSES:
            raise DataError(
                f"{path} has {len(present)} labels; a session has at most {MOST_CLASSES} classes: join some"
            )
        table = np.zeros(max(present) + 1, np.uint8)
        by_name = {one.name: one.id for one in classes}
        for label in present:
            called = names.get(label) or f"label {label}"
            if called not in by_name:
                color = tuple(round(255 * part) for part in colors.get(label, ()))
                color = color or COLORS[(number - 1) % len(COLORS)]
                classes.append(StructureClass(id=number, name=called, color=color))
                by_name[called] = number
                number += 1
            table[label] = by_name[called]
        imported = Imported(table[labels], name or Path(path).name)
        return workspace.add_import(imported, tuple(classes))


def load_reference(workspace: Workspace, path: str | os.PathLike) -> list[str]:
    """Compare with a segmentation from now on; it changes nothing else.

    Returns:
        Names of its structures. A structure is compared with the class of its name, whatever its case; one
        without a name with the class of its number.
    """
    labels, names, _ = read_labels(workspace, path)
    found = {}
    for label in np.unique(labels):
        if label:
            of_number = {one.id: one.name for one in workspace.classes}.get(int(label), f"label {label}")
            found[names.get(int(label)) or of_number] = labels == label
    workspace.set_reference(found)
    return list(found)


def chosen_labels(workspace: Workspace, class_ids: Sequence[int]) -> np.ndarray:
    """(X, Y, Z) uint8 labels on the canonical grid, without those of other classes."""
    labels = workspace.labels_full()
    return np.where(np.isin(labels, list(class_ids)), labels, 0).astype(np.uint8)


def _grids(workspace: Workspace, labels: np.ndarray) -> list[tuple[int, int, int]]:
    volume = workspace.volume
    return list(zip(volume.shape, volume.factors, labels.shape))


def _segmentation(suffix: str) -> Callable[[Workspace, Path, Sequence[int]], None]:
    def write(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
        from dense3d.datasets.volumes import write_segmentation

        chosen = [one for one in workspace.classes if one.id in class_ids]
        names = {one.id: one.name for one in chosen}
        colors = {one.id: tuple(part / 255 for part in one.color) for one in chosen}
        with tempfile.TemporaryDirectory() as folder:  # the format follows the suffix, which a path may lack
            file = Path(folder) / f"segmentation{suffix}"
            write_segmentation(file, chosen_labels(workspace, class_ids), workspace.volume, names, colors)
            _move(file, path)

    return write


def _session(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
    workspace.save(path)


def _sizes(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "name", "voxels", "millilitres", "dice"])
    counts = np.bincount(workspace.labels_full().ravel(), minlength=256)
    agreement = workspace.dice()
    for one in workspace.classes:
        if one.id in class_ids:
            same = agreement[one.id]
            millilitres = f"{counts[one.id] * workspace.voxel_ml:.6g}"
            rows.writerow(
                [one.id, one.name, counts[one.id], millilitres, "" if same is None else f"{same:.4f}"]
            )
    with atomic_write(path, "w") as file:
        file.write(text.getvalue())


def _move(source: Path, target: Path) -> None:
    with source.open("rb") as data, atomic_write(target) as file:
        while part := data.read(1 << 20):
            file.write(part)


def _zipped(files: Sequence[Path], target: Path) -> None:
    with atomic_write(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in files:
            archive.write(one, one.name)


FORMATS: dict[str, ExportFormat] = {
    "nifti": ExportFormat("NIfTI labels", ".nii.gz", _segmentation(".nii.gz")),
    "seg.nrrd": ExportFormat(
        "3D Slicer segmentation with names and colours", ".seg.nrrd", _segmentation(".seg.nrrd")
    ),
    "dicom-seg": ExportFormat("DICOM SEG (of a DICOM series)", ".dcm", _segmentation(".dcm")),
    "csv": ExportFormat("Sizes in millilitres", ".csv", _sizes),
    "session": ExportFormat("Session: classes, marks and history", ".json", _session),
}
