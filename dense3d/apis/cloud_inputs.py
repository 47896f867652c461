"""What a predictor of clouds takes: files, folders, globs, arrays, tensors, clouds, or lists of them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dense3d.errors import DataError
from dense3d.structures import PointCloud
from dense3d.structures.point_cloud import beyond_unit


@dataclass(frozen=True)
class CloudInput:
    """One cloud.

    Attributes:
        name: its path, or its place among the inputs.
        path: the file, or None.
        content: a cloud, or None for a file.
        reading: arguments of :func:`dense3d.structures.read_cloud` for the file.
    """

    name: str
    path: Path | None = None
    content: PointCloud | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def cloud(self) -> PointCloud:
        """The cloud, read from its file if it has one.

        Raises:
            DataError: the file cannot be read.
        """
        if self.content is not None:
            return self.content
        from dense3d.structures.cloud_files import read_cloud

        return read_cloud(self.path, **self.reading)


def is_single_cloud(inputs: Any) -> bool:
    """Whether the inputs are one cloud: a file's path, an array, a tensor, a :class:`PointCloud`."""
    if isinstance(inputs, (str, Path)):
        return Path(inputs).is_file()
    return isinstance(inputs, (np.ndarray, torch.Tensor, PointCloud))


def as_clouds(inputs: Any, reading: Mapping[str, Any] | None = None) -> list[CloudInput]:
    """All clouds that are named or given, files in the order of their names within a folder or glob.

    Args:
        inputs: a path, folder (searched recursively) or glob; an array or tensor ``(N, 3)``, or ``(N, 6)``
            with colours, whose range is told as in files; a :class:`PointCloud`; or an iterable of them.
        reading: arguments of :func:`dense3d.structures.read_cloud` for files: ``columns``, ``color_max``,
            ``up_axis`` and so on.

    Raises:
        DataError: something is none of these, names nothing that is there, or no cloud is left.

    Example:
        >>> [cloud.name for cloud in as_clouds([np.zeros((5, 3)), np.ones((4, 3))])]
        ['cloud-0', 'cloud-1']
    """
    if isinstance(inputs, (str, Path, np.ndarray, torch.Tensor, PointCloud)):
        inputs = [inputs]
    elif not isinstance(inputs, Iterable):
        raise DataError(_refused(inputs))
    clouds = [cloud for number, item in enumerate(inputs) for cloud in _expanded(item, number, reading or {})]
    if not clouds:
        raise DataError("there is no input: give files of clouds, a folder of them, or arrays (N, 3)")
    return clouds


def _expanded(item: Any, number: int, reading: Mapping[str, Any]) -> Iterator[CloudInput]:
    name = f"cloud-{number}"
    if isinstance(item, (str, Path)):
        yield from _files(item, reading)
    elif isinstance(item, PointCloud):
        yield CloudInput(item.name or name, content=item)
    elif isinstance(item, (np.ndarray, torch.Tensor)):
        yield CloudInput(name, content=_cloud_of(item, name))
    else:
        raise DataError(f"input {number}: {_refused(item)}")


def _cloud_of(values: np.ndarray | torch.Tensor, name: str) -> PointCloud:
    values = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    if values.ndim != 2 or values.shape[1] not in (3, 6):
        raise DataError(
            f"{name}: an array of shape {values.shape} is no cloud: give (N, 3), or (N, 6) with colours 0..1"
        )
    colors = values[:, 3:] if values.shape[1] == 6 else None
    if colors is not None and beyond_unit(colors):
        from dense3d.structures.cloud_files.judging import unit_colors

        colors = unit_colors(colors, name)
    return PointCloud(values[:, :3], colors=colors, name=name)


def _files(item: str | Path, reading: Mapping[str, Any]) -> list[CloudInput]:
    from dense3d.structures.cloud_files import CLOUD_SUFFIXES

    path = Path(item)
    if path.is_dir() and not (path / "coord.npy").is_file():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in CLOUD_SUFFIXES and p.is_file())
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in sorted(glob.glob(str(item), recursive=True))]  # noqa: PTH207
    if not found:
        raise DataError(f"{item} names no cloud: give files, a folder of them, or a glob in quotes")
    return [CloudInput(str(file), file, reading=reading) for file in found]


def _refused(item: Any) -> str:
    return (
        f"a {type(item).__name__} is no cloud: give a path, a folder, a glob, an array or tensor (N, 3), a "
        "PointCloud, or a list of them"
    )
