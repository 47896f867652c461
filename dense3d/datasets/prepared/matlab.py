"""Structures of MATLAB files as lists and dicts: version 5 to 7.2 by SciPy, 7.3 (HDF5) by h5py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import DataError
from dense3d.optional import require

# Fields that are read; the value is None, or the fields of structures inside.
Fields = Mapping[str, Any]


def read_structs(path: Path, name: str, fields: Fields) -> list[dict[str, Any]]:
    """An array of structures.

    Args:
        path: the file.
        name: of the variable.
        fields: that are read of each structure; one that is absent is None.

    Returns:
        a dict each: numbers as arrays without axes of length one, text as ``str``, structures as lists.

    Raises:
        DataError: the file is missing or damaged, or has no such variable.
        MissingDependencyError: a file of version 7.3 without h5py.
    """
    return list(_variable(path, name, lambda value, read: read.structs(value, fields)))


def read_texts(path: Path, name: str) -> list[str]:
    """A cell array of texts; arguments and errors of :func:`read_structs`."""
    return [str(text) for text in _variable(path, name, lambda value, read: read.cells(value))]


def _variable(path: Path, name: str, convert) -> Any:
    try:
        with path.open("rb") as file:
            hdf5 = (
                file.read(512).find(b"MATLAB 7.3") >= 0
                or file.seek(0)
                or file.read(8) == b"\x89HDF\r\n\x1a\n"
            )
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    try:
        if hdf5:
            h5py = require("h5py", "MATLAB files of version 7.3")
            with h5py.File(path, "r") as file:
                return convert(file[name], _Hdf5(file, h5py))
        from scipy.io import loadmat

        content = loadmat(path, variable_names=[name], squeeze_me=True, struct_as_record=False)
        return convert(content[name], _Scipy())
    except KeyError:
        raise DataError(f"{path} has no variable {name!r}; copy it again from the data set") from None
    except (OSError, ValueError, TypeError, AttributeError, NotImplementedError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a MATLAB file ({_line(error)}); copy it again") from None
    except (
        Exception
    ) as error:  # damaged files bring SciPy's reader to errors of many kinds, zlib's among them
        raise DataError(f"{path} is damaged ({_line(error)}); copy it again") from None


class _Scipy:
    """Values of ``scipy.io.loadmat`` with ``struct_as_record=False``."""

    def structs(self, value: Any, fields: Fields) -> list[dict[str, Any]]:
        return [
            {name: self.value(getattr(one, name, None), inner) for name, inner in fields.items()}
            for one in self.cells(value)
        ]

    def cells(self, value: Any) -> list[Any]:
        return list(np.atleast_1d(np.asarray(value, dtype=object)).reshape(-1))

    def value(self, value: Any, fields: Fields | None) -> Any:
        if fields is not None:
            return self.structs(value, fields) if value is not None else []
        return value if value is None or isinstance(value, str) else np.asarray(value)


class _Hdf5:
    """Values of h5py, laid out as MATLAB does: arrays transposed, text as numbers, cells as references."""

    def __init__(self, file: Any, h5py: Any) -> None:
        self.file, self.h5py = file, h5py

    def structs(self, node: Any, fields: Fields) -> list[dict[str, Any]]:
        if not isinstance(node, self.h5py.Group):
            return []  # an empty array
        first = node[next(name for name in fields if name in node)]
        if not self._refers(first):
            return [{name: self.value(node.get(name), inner) for name, inner in fields.items()}]
        columns = {name: list(self._targets(node[name])) for name in fields if name in node}
        return [
            {name: self.value(columns[name][i] if name in columns else None, fields[name]) for name in fields}
            for i in range(first.size)
        ]

    def cells(self, node: Any) -> list[Any]:
        return [self.value(target, None) for target in self._targets(node)]

    def value(self, node: Any, fields: Fields | None) -> Any:
        if fields is not None:
            return self.structs(node, fields) if node is not None else []
        if node is None:
            return None
        values = np.zeros(0) if node.attrs.get("MATLAB_empty") else node[()]
        if node.attrs.get("MATLAB_class") == b"char":
            return "".join(map(chr, np.asarray(values, dtype=np.int64).T.reshape(-1)))
        return np.squeeze(np.asarray(values).T)

    def _refers(self, node: Any) -> bool:
        """Whether a field holds one reference for each structure of an array."""
        is_cell = node.attrs.get("MATLAB_class") == b"cell" if hasattr(node, "attrs") else False
        return isinstance(node, self.h5py.Dataset) and node.dtype == self.h5py.ref_dtype and not is_cell

    def _targets(self, node: Any) -> Iterator[Any]:
        yield from (self.file[reference] for reference in node[()].reshape(-1))


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
