"""Optical flow from the first image of a pair to the second, at the size of the images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from dense3d.results.part import Entries, ModelInfo, Part


@dataclass(frozen=True, eq=False)
class Flow(Part):
    """Maps of the first image, float32.

    Args:
        flow: ``(H, W, 2)``, (u, v) in pixels.
        flow_deviation: ``(H, W)``, standard deviation of u and of v in pixels, or None.
        confidence: ``(H, W)`` in [0, 1], 1 is certain, or None.
    """

    fields: ClassVar = ("flow", "flow_deviation", "confidence")

    flow: np.ndarray
    flow_deviation: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Flow | None:
        """The sample's ``pred_flow`` and what goes with it, resized to ``ori_shape``."""
        if "pred_flow" not in sample:
            return None
        flow = sample.pred_flow.float()  # (2, h, w)
        height, width = tuple(sample.get("ori_shape") or flow.shape[-2:])[:2]
        factors = torch.tensor([width / flow.shape[-1], height / flow.shape[-2]])

        def resized(maps: torch.Tensor) -> torch.Tensor:
            return F.interpolate(maps.float()[None], (height, width), mode="bilinear", align_corners=False)[0]

        flow = resized(flow) * factors[:, None, None]
        deviation, confidence = sample.get("pred_deviation"), sample.get("pred_confidence")
        return cls(
            flow.permute(1, 2, 0).contiguous().numpy(),
            None if deviation is None else (resized(deviation)[0] * factors.mean()).numpy(),
            None if confidence is None else resized(confidence)[0].numpy(),
        )

    def __str__(self) -> str:
        """How far pixels move."""
        length = np.linalg.norm(self.flow, axis=-1)
        return f"flow of {np.median(length):.1f} px in the median, up to {length.max():.1f} px"

    def draw(self, image: np.ndarray) -> np.ndarray:
        """Image and flow side by side: hue is the direction, saturation the length."""
        from dense3d.visualization.maps import draw_flow
        from dense3d.visualization.panels import captioned

        longest = float(np.percentile(np.linalg.norm(self.flow, axis=-1), 99))
        return captioned(
            {"first image": image, f"flow up to {longest:.1f} px": draw_flow(self.flow, longest)}
        )

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """``flow/*.flo``, Middlebury's format."""
        from dense3d.datasets.flow.flow_files import write_flo

        (folder / "flow").mkdir(parents=True, exist_ok=True)
        write_flo(folder / "flow" / f"{stem}.flo", self.flow)
        return {}
