"""Colours of features: three principal components as red, green and blue.

The rule of the visualisation script of masked scene modelling (phermosilla/msm): directions by low-rank PCA,
projections of the features as they are, and a range that outliers do not widen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ITERATIONS = 20  # power iterations of the decomposition
INLIER = 2.0  # distances to the median, in multiples of their median


@dataclass(frozen=True, eq=False)
class FeatureColours:
    """From features to colours.

    Attributes:
        directions: ``(C, 3)``.
        low, high: ``(3,)``, projections that become 0 and 1.
    """

    directions: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, features: Tensor) -> FeatureColours:
        """The directions of most variance and the range of inliers of features ``(N, C)``, one row or more.

        A component is an inlier where its distance to the median is below twice the median distance. Of fewer
        than three features or channels, missing components are 0. The same features give the same colours.
        """
        features = features.float()
        rank = min(3, *features.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            directions = torch.pca_lowrank(features, q=rank, niter=ITERATIONS)[2]
        # as the largest entry of each is positive, the sign, which is arbitrary, is always the same
        signs = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)).sign()
        directions = torch.nn.functional.pad(directions * signs, (0, 3 - rank))
        projected = features @ directions
        distance = (projected - projected.median(dim=0).values).abs()
        spread = distance.median(dim=0).values
        inlier = (distance < INLIER * spread) | (distance == 0)
        low = projected.where(inlier, torch.inf).amin(dim=0)
        high = projected.where(inlier, -torch.inf).amax(dim=0)
        return cls(directions, low, high)

    def __call__(self, features: Tensor) -> Tensor:
        """``(N, 3)`` in 0 .. 1 of features ``(N, C)``; what lies outside of the range is clipped.

        Example:
            >>> features = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [90.0, 1.0]])
            >>> FeatureColours.of(features)(features)[:, 0].tolist()
            [0.0, 0.0, 0.5, 1.0, 1.0]
        """
        span = self.high - self.low
        share = (features.float() @ self.directions - self.low) / span.where(span > 0, torch.inf)
        return share.clamp(0, 1)
