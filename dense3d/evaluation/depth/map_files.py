"""Maps of depth, disparity and flow in files, as predictions and as ground truth.

Without a format the suffix tells: ``.png`` 16 bits at 256 a pixel or metre (flow: KITTI's), ``.pfm``,
``.npy``, ``.npz`` with one array or one named like the kind, ``.flo``, ``.dsp5``, ``.flo5``. Other formats
are those of :mod:`dense3d.datasets.stereo.formats`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.datasets.stereo.formats import (
    read_depth,
    read_disparity,
    read_flow,
    read_nonoccluded,
    read_npy,
)
from dense3d.datasets.stereo.packed import read_sintel_disparity
from dense3d.datasets.stereo.pfm import read_bytes, read_pfm
from dense3d.datasets.stereo.pictures import read_numbers
from dense3d.errors import ConfigError, DataError, did_you_mean

KINDS = ("depth", "inverse-depth", "disparity", "flow")
SUFFIXES = {".png": "png/256", ".pfm": "pfm", ".npy": "npy", ".npz": "npz", ".dsp5": "dsp5"}
FLOW_SUFFIXES = {".png": "kitti", ".flo": "flo", ".flo5": "flo5", ".pfm": "pfm", ".npy": "npy", ".npz": "npz"}
ALL_SUFFIXES = tuple(dict.fromkeys([*SUFFIXES, *FLOW_SUFFIXES]))


@dataclass(frozen=True)
class MapSource:
    """Where one side's maps are, and what they hold.

    Args:
        path: a file or a folder.
        kind: one of :data:`KINDS`; that of the protocol unless given.
        form: format of the files; their suffix tells unless given.
        scale: multiplies all values, 0.001 for millimetres.
        glob: which files of a folder, such as ``"*/disp0GT.pfm"``; all maps unless given.

    Raises:
        ConfigError: a kind that is not known, or a scale that is not positive.
    """

    path: str | Path
    kind: str | None = None
    form: str | None = None
    scale: float = 1.0
    glob: str | None = None

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            known = ", ".join(KINDS)
            raise ConfigError(
                f"{self.kind!r} is no kind of map{did_you_mean(self.kind, KINDS)}; there are {known}"
            )
        if not 0 < self.scale < float("inf"):
            raise ConfigError(f"values are multiplied by a positive scale, not {self.scale:g}")


def read_truth(path: Path, kind: str, source: MapSource) -> np.ndarray:
    """Ground truth: ``(H, W)`` metres (1/metres), 0 = missing; pixels, inf = missing; flow ``(H, W, 2)``.

    Raises:
        ConfigError: no such format.
        DataError: the file is damaged or of another format, or its values cannot be.
    """
    form = _form(path, kind, source.form)
    if form == "npz":
        values = _npz(path, kind)
    elif kind == "flow":
        values = read_npy(path) if form == "npy" else read_flow(path, form)
    elif kind == "disparity":
        return read_disparity(path, form) * np.float32(source.scale)
    else:
        return read_depth(path, form) * np.float32(source.scale)
    return _scaled(path, _as_truth(path, values, kind), kind, source.scale)


def read_prediction(path: Path, kind: str, source: MapSource) -> np.ndarray:
    """A prediction: as :func:`read_truth`, but disparity of any sign is a value; only png have holes at 0.

    Raises:
        ConfigError, DataError: as there, or a value is NaN.
    """
    form = _form(path, kind, source.form)
    if form == "npz":
        values = _npz(path, kind)
    elif form in ("pfm", "npy"):
        values = read_npy(path) if form == "npy" else read_pfm(path)
    elif kind == "disparity" and form == "sintel":
        values = read_sintel_disparity(path)
    elif kind == "flow":
        values = read_flow(path, form)
    else:
        values = (read_disparity if kind == "disparity" else read_depth)(path, form)
    nan = int(np.isnan(values).sum())
    if nan:
        hole = "0" if "depth" in kind else "inf"
        raise DataError(
            f"{path}: {nan} of {values.size} predictions are NaN; write {hole} where nothing is predicted"
        )
    return _scaled(path, values, kind, source.scale)


def read_seen(path: Path, form: str | None) -> np.ndarray:
    """``(H, W)`` bool: pixels that both images see.

    Args:
        path: a mask, 255 = seen, or, with 16 bits, ground truth of those pixels only (KITTI's ``disp_noc``).
        form: ``"seen"``, ``"occluded"`` or ``"known/FORMAT"``; the bits tell the first from the last if None.
    """
    if form is None:
        if path.suffix.lower() != ".png":
            form = f"known/{_form(path, 'disparity', None)}"
        else:
            form = "seen" if read_numbers(path).dtype == np.uint8 else "known/png/256"
    return read_nonoccluded(path, form)


def _form(path: Path, kind: str, form: str | None) -> str:
    if form:
        return form
    known = FLOW_SUFFIXES if kind == "flow" else SUFFIXES
    suffix = path.suffix.lower()
    if suffix not in known:
        raise DataError(f"{path}: a {kind} map is read from {', '.join(known)} files; name its format")
    return known[suffix]


def _npz(path: Path, kind: str) -> np.ndarray:
    """The array of the kind's name, or the only one."""
    read_bytes(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            named = [name for name in (kind, kind.replace("-", "_"), f"pred_{kind}") if name in names]
            if not named and len(names) != 1:
                raise DataError(f"{path} holds {', '.join(names) or 'nothing'}: name one of them {kind!r}")
            return np.squeeze(file[(named or names)[0]]).astype(np.float32)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read as arrays of numpy ({error})") from None


def _as_truth(path: Path, values: np.ndarray, kind: str) -> np.ndarray:
    """What the readers of the data sets do for their formats."""
    if kind == "flow":
        return np.where(np.isfinite(values).all(-1, keepdims=True), values, np.float32(np.inf))
    if kind == "disparity":
        return np.where(np.isfinite(values) & (values > 0), values, np.float32(np.inf))
    if np.isnan(values).any():
        raise DataError(
            f"{path}: {int(np.isnan(values).sum())} depths are NaN; write 0 where depth is unknown"
        )
    if (values < 0).any():
        raise DataError(f"{path}: {int((values < 0).sum())} depths are negative; depth is positive")
    return np.where(np.isfinite(values), values, np.float32(0))


def _scaled(path: Path, values: np.ndarray, kind: str, scale: float) -> np.ndarray:
    values = np.squeeze(values)
    if kind == "flow" and values.ndim == 3 and values.shape[0] == 2 and values.shape[2] != 2:
        values = np.moveaxis(values, 0, -1)
    fits = values.ndim == 3 and values.shape[2] == 2 if kind == "flow" else values.ndim == 2
    if not fits or not values.size:
        wanted = "(H, W, 2)" if kind == "flow" else "(H, W)"
        raise DataError(f"{path} holds values of shape {values.shape}; {kind} is {wanted}")
    return values * np.float32(scale)
