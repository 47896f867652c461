"""Errors of depth maps: abs_rel, sq_rel, rmse, rmse_log, a1, a2, a3 (Eigen et al., 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError
from dense3d.evaluation.depth.crops import crop_window
from dense3d.evaluation.depth.protocols import DepthProtocol
from dense3d.evaluation.depth.tally import Tally

DEPTH_METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
_FAR = 1e6  # metres, stands for infinity where values are mixed


def depth_errors(truth: np.ndarray, prediction: np.ndarray) -> Tally:
    """Errors of matching pixels, summed.

    Args:
        truth: ``(N,)`` metres, positive and finite.
        prediction: ``(N,)`` metres, positive and finite.

    Returns:
        Sums of ``|d| / gt``, ``d^2 / gt``, ``d^2``, ``log(gt / p)^2`` (natural) and of the pixels with
        ``max(gt / p, p / gt) < 1.25``, ``1.25^2`` and ``1.25^3``.

    Example:
        >>> values = depth_errors(np.array([2.0, 4.0]), np.array([2.0, 5.0])).values()
        >>> values["abs_rel"], values["a1"]
        (0.125, 0.5)
    """
    truth, prediction = truth.astype(np.float64), prediction.astype(np.float64)
    squares = np.square(truth - prediction)
    ratio = np.maximum(truth / prediction, prediction / truth)
    sums = {
        "abs_rel": np.sum(np.abs(truth - prediction) / truth),
        "sq_rel": np.sum(squares / truth),
        "rmse": np.sum(squares),
        "rmse_log": np.sum(np.square(np.log(truth) - np.log(prediction))),
        **{f"a{k}": np.count_nonzero(ratio < 1.25**k) for k in (1, 2, 3)},
    }
    return Tally(truth.size, truth.size, {name: float(total) for name, total in sums.items()})


@dataclass(frozen=True)
class DepthComparison:
    """One image.

    Args:
        regions: its errors: of ``"all"`` pixels that count, and of the regions that were asked for.
        ratio: by which median scaling multiplied; NaN without it.
        holes: pixels that count and whose prediction is 0 or infinite.
        clamped: pixels that count and whose prediction was moved into the protocol's limits.
    """

    regions: dict[str, Tally]
    ratio: float
    holes: int
    clamped: int

    @property
    def tally(self) -> Tally:
        """Errors of all pixels that count."""
        return self.regions["all"]


def compare_depth(
    prediction: np.ndarray,
    truth: np.ndarray,
    protocol: DepthProtocol,
    inverse: bool = False,
    scale: float = 1.0,
    skip_holes: bool = False,
    regions: Mapping[str, np.ndarray] | None = None,
) -> DepthComparison:
    """Compare one predicted map with its ground truth.

    Args:
        prediction: ``(h, w)`` metres (1/metres if ``inverse``), of any size.
        truth: ``(H, W)`` metres; 0 or not finite = missing.
        protocol: what counts and in which order things are done.
        inverse: the prediction is inverse depth.
        scale: metres of a unit of predicted depth, multiplied before it is clamped.
        skip_holes: leave pixels out whose prediction is 0 or infinite; otherwise they are clamped as every
            other value, as the official scripts do.
        regions: name -> bool of the ground truth's size; errors within each are given beside those of all.

    Raises:
        DataError: maps are not two-dimensional, the prediction has NaN or negative values, or it is infinite
            at a pixel that counts and the protocol clamps nothing.
    """
    if prediction.ndim != 2 or truth.ndim != 2 or not prediction.size or not truth.size:
        raise DataError(f"depth maps have rows and columns, not the shapes {prediction.shape}, {truth.shape}")
    _refuse_values(prediction)
    mask = counting_pixels(truth, protocol)
    inside = {"all": mask, **check_regions(regions, truth)}
    inside = {name: region[mask] for name, region in inside.items()}
    predicted = _resized(prediction, mask, protocol, inverse, scale) * scale
    gt, given = truth[mask], ~_holes(prediction, truth.shape)[mask]
    holes = int(np.count_nonzero(~given))
    kept = given if skip_holes else np.ones_like(given)
    gt, predicted = gt[kept], predicted[kept]
    ratio = float("nan")
    if protocol.median_scaling and gt.size:
        ratio = _median_ratio(gt, predicted)
        predicted = predicted * ratio
    low, high = protocol.clamp
    infinite = np.count_nonzero(predicted >= _FAR * scale / 2)
    if high is None and holes and infinite:
        raise DataError(
            f"the prediction is infinite at {infinite} of {gt.size} pixels that count, and protocol "
            f"{protocol.name} has no cap: leave holes out (holes='skip', --holes skip) or set max_depth"
        )
    clamped = np.clip(predicted, low, high)
    moved = int(np.count_nonzero(clamped != predicted))
    clamped = np.maximum(clamped, np.finfo(np.float32).tiny)
    tallies = {}
    for name, region in inside.items():
        errors = depth_errors(gt[region[kept]], clamped[region[kept]])
        tallies[name] = Tally(int(region.sum()), errors.pixels, errors.sums)
    return DepthComparison(tallies, ratio, holes, moved)


def check_regions(regions: Mapping[str, np.ndarray] | None, truth: np.ndarray) -> dict[str, np.ndarray]:
    """The regions as bool.

    Raises:
        DataError: one has another size than the ground truth.
    """
    for name, region in (regions or {}).items():
        if region.shape != truth.shape[:2]:
            sizes = ["x".join(map(str, values.shape[:2])) for values in (region, truth)]
            raise DataError(
                f"the mask of the region {name!r} has size {sizes[0]}, the ground truth {sizes[1]}"
            )
    return {name: region.astype(bool) for name, region in (regions or {}).items()}


def counting_pixels(truth: np.ndarray, protocol: DepthProtocol) -> np.ndarray:
    """``(H, W)`` bool: ground truth that a protocol evaluates."""
    top, bottom, left, right = crop_window(protocol.crop, *truth.shape)
    mask, window = np.zeros(truth.shape, dtype=bool), truth[top:bottom, left:right]
    limit = np.inf if protocol.max_depth is None else protocol.max_depth
    mask[top:bottom, left:right] = (window > protocol.min_depth) & (window < limit)
    return mask


def _resized(
    prediction: np.ndarray, mask: np.ndarray, protocol: DepthProtocol, inverse: bool, scale: float
) -> np.ndarray:
    """``(N,)`` depth in the prediction's unit at the pixels of the ground truth that count."""
    import cv2

    size = mask.shape
    if prediction.shape == size:
        values = prediction[mask].astype(np.float32)
        return np.minimum(_reciprocal(values) if inverse else values, _FAR).astype(np.float64)
    values = prediction.astype(np.float32)
    if inverse != (protocol.resize == "inverse"):
        values = _reciprocal(values)
    values = np.minimum(values, _FAR)
    if protocol.resize == "depth" and protocol.clamp_first:
        low, high = (None if limit is None else limit / scale for limit in protocol.clamp)
        values = np.clip(values, low, high)
    values = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    depth = values if protocol.resize == "depth" else np.minimum(_reciprocal(values), _FAR)
    return depth[mask].astype(np.float64)


def _holes(prediction: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``(H, W)`` bool: where a prediction of 0 or infinity has a part in the resized value."""
    import cv2

    if prediction.min() > 0 and prediction.max() < np.inf:
        return np.zeros(size, dtype=bool)
    holes = ~((prediction > 0) & np.isfinite(prediction))
    if holes.shape == size:
        return holes
    return cv2.resize(holes.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR) > 0


def _reciprocal(values: np.ndarray) -> np.ndarray:
    """1 / values: 0 becomes infinity and the other way round."""
    with np.errstate(divide="ignore"):
        return np.float32(1) / values


def _median_ratio(truth: np.ndarray, prediction: np.ndarray) -> float:
    median = float(np.median(prediction))
    if not 0 < median < _FAR:
        raise DataError(f"median scaling needs predictions with a positive median, not {median:g}")
    return float(np.median(truth)) / median


def _refuse_values(prediction: np.ndarray) -> None:
    if prediction.min() >= 0:
        return  # the minimum of NaN is NaN
    nan = int(np.count_nonzero(np.isnan(prediction)))
    negative = int(np.count_nonzero(prediction < 0))
    if nan or negative:
        what = f"{nan} values that are NaN" if nan else f"{negative} negative values"
        raise DataError(f"the predicted depth has {what} of {prediction.size}; write 0 where there is none")
