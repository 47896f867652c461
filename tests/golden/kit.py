"""Reader of golden kits: numbers that an official implementation gives on seeded weights.

A kit is a folder with ``kit.json`` (``system``, ``source``, ``config``, ``params``, ``keep``, ``scale``,
``checks``) and ``tensors.npz`` (``in/<check>/<name>``, ``out/<check>/<name>``, ``keep/<name>``). Weights are
not stored: each follows from its name, shape and dtype.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from tests.golden.options import Options

MOST_SLICINGS_PER_AXIS = 64
MOST_SLICINGS = 20_000
CHECK_KEYS = ("name", "inputs", "outputs", "rtol", "atol")


class GoldenKit:
    """One kit folder, opened for reading.

    Attributes:
        folder: where it lies.
        meta: contents of ``kit.json``.
        tensors: arrays of ``tensors.npz`` by their full name.
        options: the config, of which an adapter has to read every argument.

    Raises:
        DataError: the folder, or one of its files, is missing or damaged; the message says which.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DataError(f"golden kit not found: {self.folder} is not a folder")
        self.meta = self._read_meta()
        self.tensors = self._read_tensors()
        self.options = Options(self.meta.get("config") or {}, self.folder)

    def _read_meta(self) -> dict:
        file = self.folder / "kit.json"
        try:
            meta = json.loads(file.read_text())
        except FileNotFoundError:
            raise DataError(f"{self.folder} is not a golden kit: it has no kit.json") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is not valid JSON ({error}); restore the kit") from None
        if not isinstance(meta, dict) or not isinstance(meta.get("system"), str):
            raise DataError(f"{file} names no 'system'; restore the kit")
        if not isinstance(meta.get("config") or {}, dict):
            raise DataError(f"{file} has a 'config' that is no object of arguments; restore the kit")
        checks = meta.get("checks")
        if not isinstance(checks, list) or not checks:
            raise DataError(f"{file} holds no 'checks'; restore the kit")
        for number, check in enumerate(checks):
            missing = [key for key in CHECK_KEYS if not isinstance(check, dict) or key not in check]
            if missing:
                raise DataError(f"{file}: check {number} has no {missing[0]!r}; restore the kit")
        return meta

    def _read_tensors(self) -> dict[str, np.ndarray]:
        file = self.folder / "tensors.npz"
        try:
            with np.load(file) as data:
                return {key: data[key] for key in data.files}
        except FileNotFoundError:
            raise DataError(f"{self.folder} is not a golden kit: it has no tensors.npz") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{file} cannot be read ({error}); restore the kit") from None

    @property
    def system(self) -> str:
        """Name of the official system, for which :data:`tests.golden.SYSTEMS` has an adapter."""
        return self.meta["system"]

    @property
    def checks(self) -> list[dict]:
        """The checks of ``kit.json``: name, inputs, outputs and tolerances each."""
        return self.meta["checks"]

    def inputs(self, check: str) -> dict[str, np.ndarray]:
        """Arrays that the check named ``check`` is given."""
        return self._group(f"in/{check}/")

    def outputs(self, check: str) -> dict[str, np.ndarray]:
        """Arrays that the official implementation gave, possibly sub-sampled (see :func:`align`)."""
        return self._group(f"out/{check}/")

    def _group(self, prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def state_dict(self) -> dict[str, np.ndarray]:
        """The official checkpoint, in the official layout.

        Raises:
            DataError: a value that should be stored is not.
        """
        kept = set(self.meta.get("keep", ()))
        state = {}
        for name, shape, dtype in self.meta.get("params", ()):
            if name not in kept:
                value = seeded_array(name, tuple(shape), dtype)
                state[name] = (value * self._scale(name)).astype(value.dtype)
            elif f"keep/{name}" in self.tensors:
                state[name] = self.tensors[f"keep/{name}"]
            else:
                raise DataError(f"{self.folder / 'tensors.npz'} lacks keep/{name}; restore the kit")
        return state

    def _scale(self, name: str) -> float:
        """The factor of the last pattern that fits, 1 without any."""
        factors = [factor for glob, factor in self.meta.get("scale", ()) if fnmatch.fnmatch(name, glob)]
        return factors[-1] if factors else 1


def seeded_array(name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Value of the parameter ``name``, as the kits define it.

    Drawn in float64 from PCG64 seeded with the CRC-32 of the name: ``running_var`` uniform in [0.5, 1.5],
    ``running_mean`` N(0, 0.1), other vectors N(1, 0.1) when they end in ``weight``, ``gamma`` or ``scale``
    and N(0, 0.1) otherwise, arrays of more dimensions N(0, 1 / fan_in); integers and booleans are zero.

    Example:
        >>> seeded_array("conv.weight", (2, 3)).shape
        (2, 3)
        >>> seeded_array("steps", (2,), "int64").tolist()
        [0, 0]
    """
    if np.dtype(dtype).kind in "iub":
        return np.zeros(shape, dtype)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        value = generator.random(shape) + 0.5
    else:
        value = generator.standard_normal(shape)
        if len(shape) > 1 and not name.endswith("running_mean"):
            value = value / np.sqrt(max(1, math.prod(shape[1:])))
        else:
            value = value * 0.1
            if name.endswith(("weight", "gamma", "scale")):
                value = value + 1.0
    return np.asarray(value, dtype)


def align(full: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The sub-sampling of ``full`` that ``stored`` was taken by: of all the nearest, start 0 before others.

    Args:
        full: a whole output.
        stored: every k-th element along some axes of such an output, from some start on; a vector may also be
            taken from the flattened output.

    Raises:
        ValueError: no slicing of ``full`` has the shape of ``stored``.

    Example:
        >>> align(np.arange(10), np.array([1, 4, 7])).tolist()
        [1, 4, 7]
    """
    full, stored = np.asarray(full), np.asarray(stored)
    if full.shape == stored.shape:
        return full
    source = full.reshape(-1) if stored.ndim == 1 else full
    if source.ndim == stored.ndim:
        choices = [_slicings(n, m) for n, m in zip(source.shape, stored.shape)]
    if source.ndim != stored.ndim or not all(choices):
        raise ValueError(f"shape {full.shape} cannot be sub-sampled to {stored.shape}")
    target = stored.astype(np.float64)
    nearest, least = source[tuple(axis[0] for axis in choices)], np.inf
    for slices in itertools.islice(itertools.product(*choices), MOST_SLICINGS):
        view = source[slices]
        error = np.abs(view.astype(np.float64) - target).max(initial=0.0)
        if error < least:
            nearest, least = view, error
    return nearest


def _slicings(size: int, wanted: int) -> list[slice]:
    """Every ``start::step`` that takes ``wanted`` of ``size`` elements, by start, then by step."""
    if size == wanted:
        return [slice(None)]
    fitting = (
        slice(start, None, step)
        for start in range(size)
        for step in range(max(2, start + 1), size + 1)
        if len(range(start, size, step)) == wanted
    )
    return list(itertools.islice(fitting, MOST_SLICINGS_PER_AXIS))
