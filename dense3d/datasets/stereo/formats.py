"""One name for each format of ground truth, and what a file in it means.

=================  =========================================================================================
disparity          ``pfm``; ``png/N``: 16 bits, N a pixel (KITTI, DrivingStereo 256, CREStereo 32);
                   ``png8/N``: 8 or 16 bits (Middlebury 2005, 2006: N = 1 at full size); ``sintel``; ``dsp5``;
                   ``npy``
depth              ``png/N`` (N a metre), ``pfm``, ``npy``; ``velodyne``: see :mod:`.velodyne_depth`
flow               ``flo``, ``kitti``, ``pfm``, ``flo5``, ``npy``
nonoccluded        ``seen``: 255 where both images see it (Middlebury, ETH3D, the synthetic world);
                   ``nonzero``: anything but 0 where they do (Booster);
                   ``occluded``: 0 where they do (Scene Flow, Sintel, flow benchmarks), ``occluded/npy`` the
                   same in an array (TartanAir);
                   ``known/FORMAT``, ``known-flow/FORMAT``: what a second file knows (KITTI's disp_noc)
=================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dense3d.datasets.stereo.packed import read_hdf5, read_sintel_disparity
from dense3d.datasets.stereo.pfm import read_pfm
from dense3d.datasets.stereo.pictures import read_numbers, read_scaled_png
from dense3d.errors import ConfigError, DataError, did_you_mean


def read_disparity(path: str | Path, form: str) -> np.ndarray:
    """Disparity as ``x_left - x_right``.

    Scene Flow's files are negative in some releases: a pfm or npy map whose values are mostly negative is
    negated, unless half of the negative ones are one and the same value, which stands for unknown (-1).

    Args:
        path: the file.
        form: see the table above.

    Returns:
        (H, W) float32 in pixels, ``inf`` where the file says unknown (0 or less, not finite).

    Raises:
        ConfigError: no such format.
        DataError: the file is missing, damaged or of another format.
    """
    values = _one_channel(path, _disparity_reader(form)(path))
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(values)
        if form == "sintel":  # dense, and 0 is a point at infinity
            return values
        if form in ("pfm", "npy") and is_negated(values[finite]):
            values = -values
        return np.where(finite & (values > 0), values, np.float32(np.inf))


def is_negated(values: np.ndarray) -> bool:
    """Whether disparities (N,) have the opposite sign, and not a negative mark for unknown pixels.

    Example:
        >>> is_negated(np.array([-3.5, -4.0, -1.5, 2.0])), is_negated(np.array([-1.0, -1.0, -1.0, 7.5]))
        (True, False)
    """
    negative, positive = values[values < 0], np.count_nonzero(values > 0)
    if len(negative) <= positive:
        return False
    commonest = np.median(negative)
    is_mark = 2 * np.count_nonzero(negative == commonest) > len(negative)
    return not (is_mark and (positive or commonest == -1))


def read_depth(path: str | Path, form: str, nan_is_unknown: bool = False) -> np.ndarray:
    """Depth.

    Args:
        path: the file.
        form: see the table above.
        nan_is_unknown: whether NaN stands for unknown depth, as some cameras write it.

    Returns:
        (H, W) float32 in metres, 0 where unknown (0 or infinite in the file).

    Raises:
        ConfigError: no such format.
        DataError: the file is missing, damaged or of another format, or a value is negative or NaN.
    """
    readers = {"pfm": read_pfm, "npy": read_npy}
    if form.startswith("png/"):
        readers[form] = lambda file: read_scaled_png(file, _divisor(form))
    values = _one_channel(path, _of(readers, form, "png/N")(path))
    unknown = np.isnan(values)
    if unknown.any() and not nan_is_unknown:
        raise DataError(
            f"{path}: {np.count_nonzero(unknown)} of {unknown.size} depths are NaN; write 0 where depth is "
            "unknown, or set nan_is_unknown=True in LoadStereo"
        )
    if (values < 0).any():
        count, least = np.count_nonzero(values < 0), np.nanmin(values)
        raise DataError(f"{path}: {count} depths are negative, down to {least:g}; depth is positive")
    return np.where(np.isfinite(values), values, np.float32(0))


def read_flow(path: str | Path, form: str) -> np.ndarray:
    """Optical flow.

    Args:
        path: the file.
        form: see the table above.

    Returns:
        (H, W, 2) float32 in pixels, both ``inf`` where unknown.

    Raises:
        ConfigError: no such format.
        DataError: the file is missing, damaged or of another format.
    """
    from dense3d.datasets.flow import flow_files  # its readers build on those here

    def read_flo5(file: str | Path) -> np.ndarray:
        return flow_files.known_flow(read_hdf5(file, "flow"))

    def read_flow_npy(file: str | Path) -> np.ndarray:
        values = read_npy(file)
        if values.ndim != 3 or values.shape[2] != 2:
            raise DataError(f"{file} holds {values.shape}, but flow is (H, W, 2): is it another kind of map?")
        return flow_files.known_flow(values)

    readers = {
        "flo": flow_files.read_flo,
        "kitti": flow_files.read_kitti_flow,
        "pfm": flow_files.read_flow_pfm,
        "flo5": read_flo5,
        "npy": read_flow_npy,
    }
    return _of(readers, form)(path)


def read_nonoccluded(path: str | Path, form: str) -> np.ndarray:
    """Where the other image sees what this one shows.

    Args:
        path: the file.
        form: see the table above.

    Returns:
        (H, W) bool.

    Raises:
        ConfigError: no such format.
        DataError: the file is missing, damaged or of another format.
    """
    if form.startswith("known/"):
        return np.isfinite(read_disparity(path, form.removeprefix("known/")))
    if form.startswith("known-flow/"):
        return np.isfinite(read_flow(path, form.removeprefix("known-flow/"))).all(axis=2)
    if form == "occluded/npy":
        return _one_channel(path, read_npy(path)) == 0
    tests = {
        "seen": lambda pixels: pixels == pixels.dtype.type(255),
        "nonzero": lambda pixels: pixels != 0,
        "occluded": lambda pixels: pixels == 0,
    }
    return _of(tests, form, "known/FORMAT")(read_numbers(path, bits=8))


def read_npy(path: str | Path) -> np.ndarray:
    """An array of a .npy file, without pickled objects."""
    try:
        return np.load(path, allow_pickle=False).astype(np.float32)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: download or restore it") from None
    except (OSError, ValueError, EOFError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as an array of numpy ({error})") from None


def _disparity_reader(form: str) -> Callable[[str | Path], np.ndarray]:
    readers: dict[str, Callable] = {
        "pfm": read_pfm,
        "npy": read_npy,
        "sintel": read_sintel_disparity,
        "dsp5": lambda file: read_hdf5(file, "disparity"),
    }
    if form.startswith(("png/", "png8/")):
        bits = 16 if form.startswith("png/") else None
        readers[form] = lambda file: read_scaled_png(file, _divisor(form), bits)
    return _of(readers, form, "png/N", "png8/N")


def _of(readers: dict[str, Callable], form: str, *more: str) -> Callable:
    if form not in readers:
        known = [*readers, *more]
        raise ConfigError(f"{form!r} is none of the formats {', '.join(known)}{did_you_mean(form, known)}")
    return readers[form]


def _divisor(form: str) -> float:
    text = form.partition("/")[2]
    try:
        divisor = float(text)
    except ValueError:
        divisor = 0.0
    if not (0 < divisor < float("inf")):
        raise ConfigError(f"{form!r}: after the / stands how many units are a pixel or metre, as png/256")
    return divisor


def _one_channel(path: str | Path, values: np.ndarray) -> np.ndarray:
    if values.ndim != 2:
        raise DataError(f"{path} holds {values.shape}, not one number a pixel: is it another kind of map?")
    return values
