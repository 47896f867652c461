"""Whether a pair is rectified, and which image is the left one: by matched points, with no calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from dense3d.errors import DataError

MOST_VERTICAL = 0.5  # pixels that matched points of a rectified pair may differ in height, in the median
FEWEST = 30  # matches that a judgement needs
LONGEST = 1600  # pixels of a side that matches are looked for in


@dataclass(frozen=True)
class PairCheck:
    """What matched points say about a pair.

    Attributes:
        matches: ``(N, 4)`` points (x, y) in the left and (x, y) in the right image that agree with one
            epipolar geometry; pixels.
        vertical: median of ``|y_left - y_right|`` in pixels; NaN with fewer than :data:`FEWEST` matches.
        vertical_90: its 90th percentile.
        offset: median of ``y_left - y_right``: what a mere shift would take away.
        disparity: median of ``x_left - x_right`` in pixels.
        backwards: share of matches with a disparity below -1 pixel.
        faults: a sentence for each thing that is wrong, with the remedy.
    """

    matches: np.ndarray
    vertical: float
    vertical_90: float
    offset: float
    disparity: float
    backwards: float
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = len(self.matches)
        if count < FEWEST:
            return f"{count} matched points: too few to judge the pair"
        return (
            f"{count} matched points: median vertical residual {self.vertical:.2f} px "
            f"(90 % below {self.vertical_90:.2f} px), median disparity {self.disparity:.1f} px"
        )


def check_pair(left: np.ndarray, right: np.ndarray, doffs: float = 0.0) -> PairCheck:
    """Match points and measure how far they are from sharing rows.

    Args:
        left, right: images ``(H, W, 3)`` RGB or ``(H, W)``, uint8, of one size.
        doffs: difference of the principal points in pixels, which disparities are counted from.

    Raises:
        DataError: the images differ in size.
    """
    if left.shape[:2] != right.shape[:2]:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (left, right))
        raise DataError(f"left and right image differ in size: {sizes}; a rectified pair has one size")
    matches = match_points(left, right)
    if len(matches) < FEWEST:
        nan = float("nan")
        return PairCheck(matches, nan, nan, nan, nan, nan)
    across, down = (matches[:, :2] - matches[:, 2:]).T
    across = across + doffs
    residual = np.abs(down)
    check = PairCheck(
        matches,
        float(np.median(residual)),
        float(np.quantile(residual, 0.9)),
        float(np.median(down)),
        float(np.median(across)),
        float((across < -1).mean()),
    )
    check.faults.extend(_faults(check))
    return check


def _faults(check: PairCheck) -> list[str]:
    faults = []
    if check.backwards > 0.5:
        faults.append(
            f"{100 * check.backwards:.0f} % of the matched points lie further right in the right image: "
            "left and right are swapped; exchange them"
        )
    if check.vertical > MOST_VERTICAL:
        side = "low" if check.offset < 0 else "high"
        shifted = abs(check.offset) > 0.8 * check.vertical and check.vertical_90 < 2 * check.vertical
        faults.append(
            f"matched points differ by {check.vertical:.2f} px in height in the median (more than "
            f"{MOST_VERTICAL} px): the pair is not rectified"
            + (f"; the right image lies {abs(check.offset):.1f} px too {side}" if shifted else "")
            + "; rectify it with its calibration (dense3d rectify), or calibrate anew"
        )
    return faults


def match_points(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matched points ``(N, 4)``: SIFT, mutual and clearly best, in agreement with one epipolar geometry.

    Args:
        left, right: ``(H, W, 3)`` or ``(H, W)`` uint8.
    """
    scale = min(1.0, LONGEST / max(left.shape[:2]))
    detector = cv2.SIFT_create(nfeatures=5000)
    points, descriptors = zip(*(_features(detector, image, scale) for image in (left, right)))
    if min(map(len, points)) < 8:
        return np.zeros((0, 4))
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    forth = matcher.knnMatch(descriptors[0], descriptors[1], k=2)
    back = {one.queryIdx: one.trainIdx for one in matcher.match(descriptors[1], descriptors[0])}
    chosen = [
        (best.queryIdx, best.trainIdx)
        for best, second in (pair for pair in forth if len(pair) == 2)
        if best.distance < 0.8 * second.distance and back.get(best.trainIdx) == best.queryIdx
    ]
    if len(chosen) < 8:
        return np.zeros((0, 4))
    at = np.array(chosen)
    pairs = np.hstack([points[0][at[:, 0]], points[1][at[:, 1]]])  # (N, 4)
    _, inside = cv2.findFundamentalMat(
        np.ascontiguousarray(pairs[:, :2]),
        np.ascontiguousarray(pairs[:, 2:]),
        cv2.USAC_MAGSAC,
        1.0,
        0.999,
        5000,
    )
    if inside is None:
        return np.zeros((0, 4))
    return (pairs[inside.ravel() > 0] + 0.5) / scale - 0.5


def _features(detector: cv2.SIFT, image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found, descriptors = detector.detectAndCompute(gray, None)
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    return np.array([one.pt for one in found], dtype=np.float64), descriptors
