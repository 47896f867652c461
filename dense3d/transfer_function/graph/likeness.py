"""How like each supervoxel is to the marked ones, in features and in position."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

REACH = 0.14  # of the volume's diagonal, over which nearness counts: 7 cm of the body CT
# of everything to the background, before that is marked: lowest, more for each mark of a structure, highest
BACKGROUND_LIKENESS = 0.1, 0.04, 0.3
EXAMPLES = 48  # of a class; more are thinned evenly
KEPT = 512


class Likeness:
    """Gaussian kernels around marked regions; the nearest mark of a class speaks for it.

    Args:
        features: (R, F) such that a squared distance of 1 is one standard deviation of the kernel.
        positions: (R, 3) mm.
        extent: (3,) mm of the volume.
    """

    def __init__(self, features: np.ndarray, positions: np.ndarray, extent: np.ndarray) -> None:
        reach = REACH * float(np.linalg.norm(extent))
        self._points = np.concatenate([features, positions / reach], axis=1).astype(np.float32)
        self._squares = np.einsum("rf,rf->r", self._points, self._points)
        self._kernels: OrderedDict[int, np.ndarray] = OrderedDict()
        self._classes: dict[bytes, np.ndarray] = {}  # likeness of the classes that were asked for last

    def kernel(self, region: int) -> np.ndarray:
        """(R,) ``exp(-d^2 / 2)`` to one region; the last 512 asked for are kept."""
        if region not in self._kernels:
            # not by BLAS, whose threads wait busily for more, where the browser would have the processor
            products = np.einsum("rf,f->r", self._points, self._points[region])
            distance = self._squares + self._squares[region] - 2 * products
            self._kernels[region] = np.exp(-0.5 * np.maximum(distance, 0))
        self._kernels.move_to_end(region)
        if len(self._kernels) > KEPT:
            self._kernels.popitem(last=False)
        return self._kernels[region]

    def of_class(self, regions: np.ndarray) -> np.ndarray:
        """(R,) likeness to the nearest of some marked regions, 0 without any."""
        if len(regions) > EXAMPLES:
            regions = regions[np.linspace(0, len(regions) - 1, EXAMPLES).round().astype(int)]
        likeness = np.zeros(len(self._points), np.float32)
        for region in regions:
            np.maximum(likeness, self.kernel(int(region)), out=likeness)
        return likeness

    def prior(self, regions: list[np.ndarray]) -> np.ndarray:
        """(R, C) shares of the classes, the background first, which is likely wherever no class is.

        The more marks show what a structure is like, the liker to one of them must be what belongs to it.

        Args:
            regions: marked regions of each class, ascending; of the background and at least one structure.
        """
        known = {marked.tobytes(): marked for marked in regions}
        self._classes = {
            key: self._classes[key] if key in self._classes else self.of_class(marked)
            for key, marked in known.items()
        }
        likeness = np.stack([self._classes[marked.tobytes()] for marked in regions], axis=1)
        lowest, each, highest = BACKGROUND_LIKENESS
        marks = float(np.mean([len(marked) for marked in regions[1:]]))
        likeness[:, 0] += min(lowest + each * marks, highest)
        return likeness / likeness.sum(axis=1, keepdims=True)
