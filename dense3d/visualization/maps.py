"""Maps of numbers as pictures: disparity, depth, deviations, flow."""

from __future__ import annotations

import cv2
import numpy as np

UNKNOWN = (40, 40, 40)


def draw_scalar_map(
    values: np.ndarray, low: float | None = None, high: float | None = None, colours: int = cv2.COLORMAP_TURBO
) -> np.ndarray:
    """Colours ``(H, W, 3)`` RGB uint8 of ``(H, W)`` numbers; grey where they are not finite.

    Args:
        values: any unit.
        low, high: what the ends of the scale stand for; the 1st and the 99th percentile unless given.
        colours: one of OpenCV's colour maps.

    Example:
        >>> draw_scalar_map(np.array([[0.0, 1.0, np.inf]])).shape
        (1, 3, 3)
    """
    known = np.isfinite(values)
    if not known.any():
        return np.full((*values.shape, 3), UNKNOWN, dtype=np.uint8)
    low = np.percentile(values[known], 1) if low is None else low
    high = np.percentile(values[known], 99) if high is None else high
    shares = (np.where(known, values, low) - low) / max(float(high - low), 1e-12)
    picture = cv2.applyColorMap((shares.clip(0, 1) * 255).astype(np.uint8), colours)[..., ::-1].copy()
    picture[~known] = UNKNOWN
    return picture


def draw_flow(flow: np.ndarray, longest: float | None = None) -> np.ndarray:
    """Optical flow ``(H, W, 2)`` in pixels as colours: hue is the direction, saturation the length.

    The wheel of Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011, is drawn
    by hue here: right is red, down is yellow-green, left is cyan, up is violet; no motion is white.

    Args:
        flow: (u, v), not finite where it is not known.
        longest: length in pixels that is drawn in full colour; the 99th percentile unless given.

    Returns:
        ``(H, W, 3)`` RGB uint8.

    Example:
        >>> draw_flow(np.zeros((1, 1, 2))).tolist()
        [[[255, 255, 255]]]
    """
    known = np.isfinite(flow).all(axis=-1)
    moved = np.where(known[..., None], flow, 0.0).astype(np.float32)
    length = np.hypot(moved[..., 0], moved[..., 1])
    if longest is None:
        longest = float(np.percentile(length[known], 99)) if known.any() else 1.0
    angle = np.degrees(np.arctan2(moved[..., 1], moved[..., 0])) % 360  # image rows grow downwards
    hsv = np.stack([angle, np.minimum(length / max(longest, 1e-6), 1), np.ones_like(length)], axis=-1).astype(
        np.float32
    )
    picture = np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
    picture[~known] = UNKNOWN
    return picture
