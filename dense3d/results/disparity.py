"""What a stereo network says of a pair: disparity, occlusion and depth, with their errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dense3d.datasets.stereo.pfm import write_pfm
from dense3d.datasets.stereo.pictures import write_numbers, write_scaled_png
from dense3d.errors import DataError
from dense3d.ops.disparity import resize_disparity
from dense3d.results.part import Entries, ModelInfo, Part
from dense3d.stereo.both_views import confidence_of, disagreement, occluded
from dense3d.structures.coloured_cloud import ColouredCloud
from dense3d.structures.rectified_rig import RectifiedRig

PANEL = 480  # pixels
WRITTEN = {  # kind of map, which names its folder -> suffix
    "disparity": ".pfm",
    "deviation": ".pfm",
    "confidence": ".pfm",
    "occluded": ".png",
    "depth": ".png",
    "depth_deviation": ".pfm",
}
FURTHEST = 65535 / 256  # metres that a 16-bit png in KITTI's scale can hold


@dataclass(frozen=True, eq=False)
class Disparity(Part):
    """Maps ``(H, W)`` of the left image, float32; those that a network or a pair does not give are None.

    Args:
        disparity: ``x_left - x_right`` in pixels.
        deviation: its standard deviation in pixels: the network's, or from the disagreement of both views.
        confidence: in [0, 1], 1 is certain: the network's, or ``1 / (1 + deviation)``.
        right_disparity: of the right image.
        occluded: bool, pixels that the right image does not see (left-right check, 1 pixel).
        depth: metres along the optical axis; infinite where disparity is not positive.
        depth_deviation: its standard deviation ``z^2 / (f B) sigma_d`` in metres.
        rig: the calibration that depth is of.
    """

    fields: ClassVar = (
        "disparity",
        "deviation",
        "confidence",
        "right_disparity",
        "occluded",
        "depth",
        "depth_deviation",
        "rig",
    )

    disparity: np.ndarray
    deviation: np.ndarray | None = None
    confidence: np.ndarray | None = None
    right_disparity: np.ndarray | None = None
    occluded: np.ndarray | None = None
    depth: np.ndarray | None = None
    depth_deviation: np.ndarray | None = None
    rig: RectifiedRig | None = None

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Disparity | None:
        """The sample's ``pred_disparity`` and what goes with it, resized to ``ori_shape``."""
        if "pred_disparity" not in sample:
            return None
        left = sample.pred_disparity.float()
        size = tuple(sample.get("ori_shape") or left.shape[-2:])[:2]
        factor = size[1] / left.shape[-1]
        right = sample.get("pred_right_disparity")
        deviation, confidence = sample.get("pred_deviation"), sample.get("pred_confidence")
        if deviation is None and right is not None:
            deviation = disagreement(left[None], right.float()[None])[0]
        maps: dict[str, Tensor | None] = {"disparity": resize_disparity(left, size)}
        maps["right_disparity"] = None if right is None else resize_disparity(right.float(), size)
        maps["deviation"] = None if deviation is None else _resized(deviation, size) * factor
        if confidence is not None:
            maps["confidence"] = _resized(confidence, size)
        elif deviation is not None:
            maps["confidence"] = confidence_of(maps["deviation"])
        if right is not None:
            maps["occluded"] = occluded(maps["disparity"], maps["right_disparity"])
        rig = sample.get("full_rig")
        depth = sample.get("pred_depth")
        if rig is not None:
            maps["depth"] = rig.depth(maps["disparity"])
        elif depth is not None:
            maps["depth"] = _resized(depth, size)
        if rig is not None and deviation is not None:
            spread = rig.depth_deviation(maps["depth"], maps["deviation"])
            maps["depth_deviation"] = spread.masked_fill(maps["depth"].isinf(), float("inf"))
        return cls(**{k: None if v is None else v[0].numpy() for k, v in maps.items()}, rig=rig)

    def __str__(self) -> str:
        """Range of disparity and, where it is known, of depth."""
        low, high = np.percentile(self.disparity, [1, 99])
        text = f"disparity {low:.1f} to {high:.1f} px"
        if self.depth is not None and np.isfinite(self.depth).any():
            near, far = np.percentile(self.depth[np.isfinite(self.depth)], [1, 99])
            text += f", depth {near:.2f} to {far:.2f} m"
        return text

    def draw(self, image: np.ndarray) -> np.ndarray:
        """Image, disparity and confidence side by side; what is occluded is darker in the disparity."""
        from dense3d.visualization.maps import draw_scalar_map
        from dense3d.visualization.panels import captioned

        low, high = np.percentile(self.disparity, [1, 99])
        picture = draw_scalar_map(self.disparity, low, high)
        if self.occluded is not None:
            picture[self.occluded] //= 3
        panels = {"left image": image, f"disparity {low:.1f} to {high:.1f} px": picture}
        if self.confidence is not None:
            panels["confidence, 0 to 1"] = draw_scalar_map(self.confidence, 0, 1, cv2.COLORMAP_VIRIDIS)
        return captioned(panels)

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """The maps that are known, see :data:`WRITTEN`.

        Depth is in KITTI's scale, metres times 256, 0 where it is infinite or beyond 256 m; its deviation is
        in metres, infinite where depth is.
        """
        for name in WRITTEN:
            if getattr(self, name) is not None:
                (folder / name).mkdir(parents=True, exist_ok=True)
                if WRITTEN[name] == ".pfm":
                    write_pfm(folder / name / f"{stem}.pfm", getattr(self, name))
        if self.occluded is not None:
            write_numbers(folder / "occluded" / f"{stem}.png", self.occluded.astype(np.uint8) * 255)
        if self.depth is not None:
            depth = np.where(self.depth <= FURTHEST, self.depth, 0.0)
            write_scaled_png(folder / "depth" / f"{stem}.png", depth)
        return {}

    def to_cloud(
        self,
        image: np.ndarray,
        zfar: float | None = None,
        remove_invisible: bool = True,
        remove_isolated: bool = True,
    ) -> ColouredCloud:
        """A coloured cloud in the left camera's frame, metres.

        Args:
            image: the left image ``(H, W, 3)`` RGB uint8.
            zfar: leave out what is further away, metres.
            remove_invisible: leave out what the right camera does not see, whose depth is a guess.
            remove_isolated: leave out points far from their neighbours.

        Raises:
            DataError: there is no calibration, or of invisible points nothing is known.
        """
        if self.rig is None:
            raise DataError("a cloud needs the rig's calibration: give it with the pair (--calib)")
        if remove_invisible and self.occluded is None:
            raise DataError(
                "what is invisible is known from both views only: predict both, or keep it "
                "(remove_invisible=False)"
            )
        hidden = self.occluded if remove_invisible else None
        cloud = ColouredCloud.of_depth(self.depth, image, self.rig, zfar, hidden)
        return cloud.without_isolated() if remove_isolated else cloud


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, h, w) to (1, H, W), bilinear with half-pixel centres."""
    values = values.float()
    if tuple(values.shape[-2:]) == size:
        return values
    return F.interpolate(values[None], size, mode="bilinear", align_corners=False)[0]
