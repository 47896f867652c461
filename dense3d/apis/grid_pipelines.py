"""How radiance grids are prepared: a config's test pipeline, and what is named or given to a predictor."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dense3d.errors import DataError
from dense3d.structures import RadianceGrid

LOAD, PACK = "LoadRadianceGrid", "PackGridInputs"


def takes_grids(steps: Sequence[dict]) -> bool:
    """Whether a pipeline prepares radiance grids."""
    return any(_name(step) == PACK for step in steps)


def loads_grids(step: dict) -> bool:
    """Whether a step reads a data set's files."""
    return _name(step) == LOAD


def named_grids(inputs: Any) -> Iterator[tuple[str, RadianceGrid | Path]]:
    """All grids that are named or given, files in the order of their names within a folder or glob.

    Raises:
        DataError: something is no grid, or names nothing that is there.
    """
    items = [inputs] if isinstance(inputs, (str, Path, RadianceGrid)) else inputs
    if not isinstance(items, Iterable):
        raise DataError(
            f"a {type(inputs).__name__} is no radiance grid: give files, a folder or RadianceGrids"
        )
    count = 0
    for item in items:
        if isinstance(item, RadianceGrid):
            yield f"grid-{count}", item
            count += 1
            continue
        if not isinstance(item, (str, Path)):
            raise DataError(f"a {type(item).__name__} is no radiance grid: give a file or a RadianceGrid")
        path = Path(item)
        found = sorted(path.rglob("*.npz")) if path.is_dir() else [path] if path.exists() else []
        if not found and not path.is_dir():
            found = [Path(name) for name in sorted(glob.glob(str(item), recursive=True))]  # noqa: PTH207
        if not found:
            raise DataError(f"{item} names no radiance grid: give .npz files, a folder of them, or a glob")
        for file in found:
            count += 1
            yield str(file), file
    if not count:
        raise DataError("there is no input: give .npz files of radiance grids, or a folder of them")


def _name(step: dict) -> str:
    return str(step.get("type")).rpartition(".")[2]
