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
    """Three images ``(h, w, 3)``, RGB uint8, at the size of the network's input; of pairs, a fourth one.

    Args:
        original: the image as the network could have seen it.
        masked: what it saw; grey where it saw nothing.
        reconstruction: what it made of that.
        reference: the other view that it saw, complete, where the model is given two.
    """

    fields: ClassVar = ("original", "masked", "reconstruction", "reference")

    original: np.ndarray
    masked: np.ndarray
    reconstruction: np.ndarray
    reference: np.ndarray | None = None

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Reconstruction | None:
        """The sample's ``image``, ``masked``, ``reconstruction`` and, of pairs (in RGB), ``second_view``."""
        if "reconstruction" not in sample:
            return None
        from dense3d.visualization.pictures import denormalised

        is_pair = "second_view" in sample
        names = ("image", "masked", "reconstruction", *["second_view"] * is_pair)
        original, masked, *others = (
            denormalised(sample.get(name), info.preprocessor, is_rgb=is_pair) for name in names
        )
        masked[(sample.masked == 0).all(dim=0).cpu().numpy()] = HIDDEN
        return cls(original, masked, *others)

    def __str__(self) -> str:
        """The share of the image that was hidden."""
        hidden = (self.masked == HIDDEN).all(axis=-1).mean()
        return f"a reconstruction of {hidden:.0%} of the image"

    def draw(self, image: np.ndarray) -> np.ndarray:
        """Side by side: the other view where there is one, what the network saw, what it made, the original.

        Without another view, the original comes first.
        """
        from dense3d.visualization.panels import side_by_side

        seen = [self.masked, self.reconstruction]
        if self.reference is None:
            return side_by_side([self.original, *seen], PANEL)
        return side_by_side([self.reference, *seen, self.original], PANEL)
