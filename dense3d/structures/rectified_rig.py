"""Two cameras after rectification: what turns disparity in pixels into depth in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dense3d.errors import DataError


@dataclass(frozen=True)
class RectifiedRig:
    """A rectified pair: same rows, same focal length, the right camera ``baseline`` metres to the right.

    Disparity is ``x_left - x_right`` of matching pixels, positive for points in front of the cameras
    (with ``doffs`` 0), and ``depth = focal * baseline / (disparity + doffs)``: the z coordinate in the left
    camera's frame (x right, y down, z forward), metres. A pixel's integer coordinate is its centre.

    Args:
        focal: horizontal focal length in pixels.
        baseline: metres.
        cx, cy: principal point of the left camera in pixels.
        width, height: size in pixels of the images that these numbers belong to.
        focal_y: vertical focal length in pixels; ``focal`` unless given.
        doffs: ``cx_right - cx_left`` in pixels (Middlebury's name).

    Raises:
        DataError: a number is not finite, or focal length, baseline or size is not positive.

    Example:
        >>> rig = RectifiedRig(focal=720.0, baseline=0.5, cx=608.5, cy=175.5, width=1218, height=352)
        >>> rig.depth(np.array([36.0, 0.0])).tolist()
        [10.0, inf]
        >>> rig.resized(609, 176).focal
        360.0
    """

    focal: float
    baseline: float
    cx: float
    cy: float
    width: int
    height: int
    focal_y: float | None = None
    doffs: float = 0.0

    def __post_init__(self) -> None:
        if self.focal_y is None:
            object.__setattr__(self, "focal_y", self.focal)
        numbers = [self.focal, self.focal_y, self.baseline, self.cx, self.cy, self.doffs]
        if not np.isfinite(numbers).all():
            raise DataError(f"a rig's numbers must be finite: {self}")
        for name in ("focal", "focal_y", "baseline", "width", "height"):
            if getattr(self, name) <= 0:
                raise DataError(f"a rig's {name} must be positive, not {getattr(self, name)}")

    def depth(self, disparity: Any) -> Any:
        """Metres of ``disparity`` (array or tensor, pixels); infinite unless ``disparity + doffs > 0``."""
        shifted = disparity + self.doffs
        product = self.focal * self.baseline
        if hasattr(shifted, "masked_fill"):  # a tensor
            return (product / shifted).masked_fill(~(shifted > 0), float("inf"))
        shifted = np.asarray(shifted)
        depth = np.full(shifted.shape, np.inf, dtype=np.result_type(shifted, np.float32))
        return np.divide(product, shifted, out=depth, where=shifted > 0)

    def disparity(self, depth: Any) -> Any:
        """Pixels of ``depth`` (array or tensor, metres, positive)."""
        return self.focal * self.baseline / depth - self.doffs

    def depth_deviation(self, depth: Any, deviation: Any) -> Any:
        """``z^2 / (f B) * sigma_d``: deviation of depth in metres from that of disparity in pixels."""
        return depth**2 / (self.focal * self.baseline) * deviation

    def resized(self, width: int, height: int) -> RectifiedRig:
        """The rig of the same images, scaled to another size (pixel edges are kept, as resizing does)."""
        x, y = width / self.width, height / self.height
        return replace(
            self,
            focal=self.focal * x,
            focal_y=self.focal_y * y,
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
            width=width,
            height=height,
            doffs=self.doffs * x,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> RectifiedRig:
        """The rig of the same window of both images; negative ``left`` or ``top`` is padding."""
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=width, height=height)
