"""Errors of disparity and optical flow: EPE, rmse, bad-X, D1 / Fl, by regions and by bins of speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dense3d.errors import DataError
from dense3d.evaluation.depth.depth_errors import check_regions
from dense3d.evaluation.depth.protocols import MatchingProtocol
from dense3d.evaluation.depth.tally import Tally

OUTLIER_PIXELS, OUTLIER_SHARE = 3.0, 0.05  # of D1 and Fl: KITTI 2015
SPEEDS = (0.0, 10.0, 40.0, float("inf"))  # pixels; limits of the bins of flow
HOLES = ("wrong", "skip")


@dataclass(frozen=True)
class MatchingComparison:
    """One image.

    Args:
        regions: ``"all"``, and what else is known: ``"nonoccluded"`` and ``"occluded"``; of flow ``"s0-10"``,
            ``"s10-40"`` and ``"s40+"`` by the ground truth's speed in pixels.
        holes: pixels with ground truth whose prediction is not finite.
    """

    regions: dict[str, Tally]
    holes: int


def compare_disparity(
    prediction: np.ndarray,
    truth: np.ndarray,
    protocol: MatchingProtocol,
    regions: Mapping[str, np.ndarray] | None = None,
    holes: str = "wrong",
) -> MatchingComparison:
    """Compare one predicted disparity map with its ground truth.

    Args:
        prediction: ``(h, w)`` pixels; not finite = not predicted.
        truth: ``(h, w)`` pixels, ``(2h, 2w)`` if the protocol says ``doubled``; not finite = missing.
        protocol: what counts.
        regions: name -> bool of the ground truth's size, see :func:`visibility`; errors within each are given
            beside those of all.
        holes: pixels without prediction count as ``"wrong"`` in D1 and bad-X and are left out of EPE and
            rmse; ``"skip"`` leaves them out of everything.

    Raises:
        DataError: shapes do not fit.
    """
    _check_shapes(prediction, truth, protocol, 2)
    valid = np.isfinite(truth)
    if protocol.max_disparity is not None:
        valid &= truth < protocol.max_disparity
    true = truth[valid].astype(np.float64)
    error = np.abs(_doubled(prediction, protocol)[valid] - true)
    return _compared([error, np.abs(true)], valid, protocol, check_regions(regions, truth), holes, "D1")


def compare_flow(
    prediction: np.ndarray,
    truth: np.ndarray,
    protocol: MatchingProtocol,
    regions: Mapping[str, np.ndarray] | None = None,
    holes: str = "wrong",
) -> MatchingComparison:
    """Compare one predicted flow field with its ground truth.

    Args:
        prediction: ``(h, w, 2)`` pixels (u, v).
        truth: ``(h, w, 2)``, or ``(2h, 2w, 2)`` if the protocol says ``doubled``.
        protocol, regions, holes: as for :func:`compare_disparity`.

    Raises:
        DataError: shapes do not fit.
    """
    _check_shapes(prediction, truth, protocol, 3)
    valid = np.isfinite(truth).all(-1)
    true = truth[valid].astype(np.float64)
    difference = _doubled(prediction, protocol)[valid] - true  # (N, 2)
    values = [np.hypot(*difference.T), np.hypot(*true.T), np.abs(difference).sum(-1)]
    return _compared(values, valid, protocol, check_regions(regions, truth), holes, "Fl")


def _compared(
    values: list[np.ndarray],  # (N) of pixels that count: error, size of the true vector, flow: |du| + |dv|
    valid: np.ndarray,  # (H, W)
    protocol: MatchingProtocol,
    masks: dict[str, np.ndarray],
    holes: str,
    outliers: str,
) -> MatchingComparison:
    if holes not in HOLES:
        raise DataError(
            f"holes={holes!r}: pixels without prediction are counted 'wrong', or 'skip' leaves them out"
        )
    error = values[0]
    error[np.isnan(error)] = np.inf  # nothing is predicted
    if protocol.doubled:
        best = _smallest(error, valid)
        values = [each[best] for each in values]
        error = values[0]
        regions = {name: mask[valid][best] for name, mask in masks.items()}
    else:
        regions = {name: mask[valid] for name, mask in masks.items()}
    missing = ~np.isfinite(error)
    number = int(np.count_nonzero(missing))
    if holes == "skip" and number:
        values = [each[~missing] for each in values]
        regions = {name: region[~missing] for name, region in regions.items()}
    if outliers == "Fl":
        for low, high in pairwise(SPEEDS):
            name = f"s{low:g}+" if np.isinf(high) else f"s{low:g}-{high:g}"
            regions[name] = (values[1] >= low) & (values[1] < high)
    tallies = {"all": matching_errors(*values[:2], protocol.bad, outliers, *values[2:])}
    for name, region in regions.items():
        error, size, *absolute = (each[region] for each in values)
        tallies[name] = matching_errors(error, size, protocol.bad, outliers, *absolute)
    return MatchingComparison(tallies, number)


def visibility(nonoccluded: np.ndarray | None) -> dict[str, np.ndarray]:
    """The regions ``"nonoccluded"`` and ``"occluded"`` by a map of what both images see, if there is one."""
    return {} if nonoccluded is None else {"nonoccluded": nonoccluded, "occluded": ~nonoccluded}


def matching_errors(
    error: np.ndarray,
    size: np.ndarray,
    bad: tuple[float, ...],
    outliers: str = "D1",
    absolute: np.ndarray | None = None,
) -> Tally:
    """Errors of matching pixels, summed.

    Args:
        error: ``(N,)`` pixels, infinite where nothing is predicted.
        size: ``(N,)`` length of the ground truth, pixels.
        bad: limits of ``bad-X``: strictly larger errors are counted.
        outliers: name of the share of errors above 3 px and above 5 % of ``size``.
        absolute: ``(N,)`` sum of the components' absolute errors, of flow: ``L1``.

    Example:
        >>> matching_errors(np.array([0.0, 4.0]), np.array([9.0, 50.0]), (1,)).values()
        {'EPE': 2.0, 'rmse': 2.8284271247461903, 'D1': 50.0, 'bad-1': 50.0}
    """
    given = np.isfinite(error)
    near = error if given.all() else error[given]
    wrong = (error > OUTLIER_PIXELS) & (error > OUTLIER_SHARE * size)
    sums = {"EPE": float(near.sum()), "rmse": float(np.square(near).sum())}
    if absolute is not None:
        sums["L1"] = float(absolute[given].sum() if near is not error else absolute.sum())
    sums[outliers] = float(np.count_nonzero(wrong))
    sums |= {f"bad-{limit:g}": float(np.count_nonzero(error > limit)) for limit in bad}
    return Tally(error.size, near.size, sums)


def _doubled(prediction: np.ndarray, protocol: MatchingProtocol) -> np.ndarray:
    return prediction.repeat(2, 0).repeat(2, 1) if protocol.doubled else prediction


def _smallest(error: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Positions, among the pixels that count, of the smallest error in each 2 x 2 block that has one."""
    height, width = valid.shape[0] // 2, valid.shape[1] // 2

    def blocks(values: np.ndarray) -> np.ndarray:  # (h * w, 4)
        return values.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(-1, 4)

    errors, positions = np.full(valid.shape, np.inf), np.zeros(valid.shape, dtype=np.int64)
    errors[valid], positions[valid] = error, np.arange(error.size)
    counted = blocks(valid)
    # A pixel that counts goes before one that does not, also where nothing is predicted for either.
    best = np.lexsort((blocks(errors), ~counted), axis=-1)[:, :1]
    return np.take_along_axis(blocks(positions), best, -1)[counted.any(-1), 0]


def _check_shapes(prediction: np.ndarray, truth: np.ndarray, protocol: MatchingProtocol, ndim: int) -> None:
    factor = 2 if protocol.doubled else 1
    if prediction.ndim != ndim or truth.ndim != ndim or (ndim == 3 and truth.shape[2] != 2):
        raise DataError(
            f"{protocol.task} of shape {prediction.shape} cannot be compared with ground truth of shape "
            f"{truth.shape}"
        )
    if truth.shape != (prediction.shape[0] * factor, prediction.shape[1] * factor, *prediction.shape[2:]):
        rule = " and twice the prediction's, as the protocol says" if protocol.doubled else ""
        raise DataError(
            f"the prediction has size {_size(prediction)}, the ground truth {_size(truth)}: both must be of "
            f"one size{rule}; resize the prediction (dense3d.ops.resize_disparity), which changes its values"
        )


def _size(values: np.ndarray) -> str:
    return f"{values.shape[0]}x{values.shape[1]}"
