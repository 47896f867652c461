"""Everything that goes out, by format."""

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

from dense3d.errors import ConfigError, did_you_mean
from dense3d.files import atomic_write, require_writable_file
from dense3d.transfer_function.measures import voxel_counts

if TYPE_CHECKING:
    from dense3d.transfer_function.workspace import Workspace


PICTURE = 1024  # pixels along each side of a picture


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
        ConfigError: there is no such format, nothing can be written there, or it is the volume itself.
        ClassError: there is no such class.
    """
    path = Path(path)
    if format is None:
        fitting = [name for name, one in FORMATS.items() if path.name.lower().endswith(one.suffix)]
        fitting.sort(key=lambda name: -len(FORMATS[name].suffix))
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
    require_target(workspace, path)
    FORMATS[format].write(workspace, path, ids)
    return path


def require_target(workspace: Workspace, path: str | os.PathLike) -> None:
    """Complain about a place where nothing can be written, or that is a file of the volume itself.

    Raises:
        ConfigError: it is.
    """
    require_writable_file(path)
    if not Path(path).exists():
        return
    source = workspace.volume.source
    slices = source.details.get("slices", ())
    for own in dict.fromkeys([source.path, *(item.path for place in slices for item in place)]):
        if own and Path(own).exists() and Path(path).samefile(own):
            raise ConfigError(
                f"{path} is a file of the volume that is open: name another, or it would be lost"
            )


def offered(workspace: Workspace) -> dict[str, ExportFormat]:
    """The formats that this volume can be written in: DICOM SEG refers to a DICOM series."""
    is_dicom = "slices" in workspace.volume.source.details
    return {name: one for name, one in FORMATS.items() if is_dicom or name != "dicom-seg"}


def chosen_labels(workspace: Workspace, class_ids: Sequence[int]) -> np.ndarray:
    """(X, Y, Z) uint8 labels on the canonical grid, without those of other classes."""
    labels = workspace.labels_full()
    for one in workspace.classes:
        if one.id not in class_ids:
            labels[labels == one.id] = 0
    return labels


def _segmentation(suffix: str) -> Callable[[Workspace, Path, Sequence[int]], None]:
    def write(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
        from dense3d.datasets.volumes import write_segmentation

        names, colors = _looks(workspace, class_ids)
        if path.name.lower().endswith(suffix):
            write_segmentation(path, chosen_labels(workspace, class_ids), workspace.volume, names, colors)
            return
        with tempfile.TemporaryDirectory() as folder:  # the format follows the suffix, which a path may lack
            file = Path(folder) / f"segmentation{suffix}"
            write_segmentation(file, chosen_labels(workspace, class_ids), workspace.volume, names, colors)
            _move(file, path)

    return write


def _looks(workspace: Workspace, class_ids: Sequence[int]) -> tuple[dict, dict]:
    """Names, and colours of 0 .. 1, by class."""
    chosen = [one for one in workspace.classes if one.id in class_ids]
    colors = {one.id: tuple(part / 255 for part in one.color) for one in chosen}
    return {one.id: one.name for one in chosen}, colors


def _meshes(kind: str) -> Callable[[Workspace, Path, Sequence[int]], None]:
    def write(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
        from dense3d.datasets.volumes import write_meshes

        labels = chosen_labels(workspace, class_ids)
        with tempfile.TemporaryDirectory() as folder:
            _zipped(write_meshes(folder, labels, workspace.volume, *_looks(workspace, class_ids), kind), path)

    return write


def _function(suffix: str) -> Callable[[Workspace, Path, Sequence[int]], None]:
    def write(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
        from dense3d.transfer_function.functions import transfer_function_text

        with atomic_write(path, "w") as file:
            file.write(transfer_function_text(workspace.curve(), f"function{suffix}"))

    return write


def _label_colors(suffix: str) -> Callable[[Workspace, Path, Sequence[int]], None]:
    def write(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
        from dense3d.transfer_function.functions import LabelColor, label_colors_text

        chosen = [one for one in workspace.classes if one.id in class_ids]
        table = [LabelColor(one.id, one.name, one.color, one.opacity) for one in chosen]
        with atomic_write(path, "w") as file:
            file.write(label_colors_text(table, f"colors{suffix}"))

    return write


def _picture(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
    workspace.render(width=PICTURE, height=PICTURE, quality="high").save(path)


def _session(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
    workspace.save(path)


def _sizes(workspace: Workspace, path: Path, class_ids: Sequence[int]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "name", "voxels", "millilitres", "dice"])
    counts = voxel_counts(workspace.labels_full(), workspace.volume.shape, (1, 1, 1))
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
    "dicom-seg": ExportFormat("DICOM SEG", ".dcm", _segmentation(".dcm")),
    "stl": ExportFormat("Surfaces, STL, one a structure", ".stl.zip", _meshes("stl")),
    "ply": ExportFormat("Surfaces with colours, PLY, one a structure", ".ply.zip", _meshes("ply")),
    "png": ExportFormat("Picture from the front", ".png", _picture),
    "csv": ExportFormat("Sizes in millilitres", ".csv", _sizes),
    "session": ExportFormat("Session: classes, marks and history", ".session.json", _session),
    "transfer-function": ExportFormat("Transfer function", ".json", _function(".json")),
    "slicer": ExportFormat("Transfer function, 3D Slicer", ".vp.json", _function(".vp.json")),
    "slicer-vp": ExportFormat("Transfer function, older 3D Slicer", ".vp", _function(".vp")),
    "paraview": ExportFormat("Transfer function, ParaView", ".paraview.json", _function(".paraview.json")),
    "itk-snap": ExportFormat("Names and colours, ITK-SNAP", ".label", _label_colors(".label")),
    "slicer-colors": ExportFormat("Names and colours, 3D Slicer", ".ctbl", _label_colors(".ctbl")),
}
