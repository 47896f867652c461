"""What a masked autoencoder made of an image of which it saw a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dense3d.results.part import ModelInfo, Part

PANEL = 320  # pixels
HIDDEN = 128


@dataclass(frozen=True, eq=False)
class Reconstruction(Part):
    """Three images ``(h, w, 3)``, RGB uint8, at the size of the network's input.

    Args:
        original: the image as the network could have seen it.
        masked: what it saw; grey where it saw nothing.
        reconstruction: what it made of that.
    """

    fields: ClassVar = ("original", "masked", "reconstruction")

    original: np.ndarray
    masked: np.ndarray
    reconstruction: np.ndarray

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Reconstruction | None:
        """The sample's ``image``, ``masked`` and ``reconstruction``, with normalisation undone."""
        if "reconstruction" not in sample:
            return None
        from dense3d.visualization.pictures import denormalised

        names = ("image", "masked", "reconstruction")
        original, masked, painted = (denormalised(sample.get(name), info.preprocessor) for name in names)
        masked[(sample.masked == 0).all(dim=0).cpu().numpy()] = HIDDEN
        return cls(original, masked, painted)

    def __str__(self) -> str:
        """The share of the image that was hidden."""
        hidden = (self.masked == HIDDEN).all(axis=-1).mean()
        return f"a reconstruction of {hidden:.0%} of the image"

    def draw(self, image: np.ndarray) -> np.ndarray:
        """The three side by side."""
        from dense3d.visualization.panels import side_by_side

        return side_by_side([self.original, self.masked, self.reconstruction], PANEL)
