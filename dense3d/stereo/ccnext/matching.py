"""Disparities straight from the similarity of features along rows, which tell a young network where to look.

Not part of the official network. CCNeXt learns what its attention finds only through the decoder, which takes
many thousand steps from random weights. The parallax attention of Wang et al. ("Parallax Attention for
Unsupervised Stereo Correspondence Learning", TPAMI 2020, section 3.3) is told at once: each pixel's
probabilities over its row paint the image from the other one, and the difference is the loss. As the painted
colour is a mean over all candidates, its gradient reaches disparities that are far away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.stereo.ccnext.losses import edge_aware_smoothness, photometric_error
from dense3d.stereo.row_matching import Match


class MatchingLoss(nn.Module):
    """Photometric error of what matches paint, and smoothness of their disparity.

    Args:
        weight: of the whole.
        ssim_weight: see :func:`photometric_error`.
        smooth_weight: of the edge-aware smoothness, beside the error's 1.

    Raises:
        ConfigError: a weight is out of range.
    """

    def __init__(self, weight: float = 2.0, ssim_weight: float = 0.85, smooth_weight: float = 0.05) -> None:
        super().__init__()
        if weight < 0 or smooth_weight < 0 or not 0 <= ssim_weight <= 1:
            raise ConfigError(
                f"matching_loss: ssim_weight={ssim_weight} lies in [0, 1]; weight={weight} and "
                f"smooth_weight={smooth_weight} are not negative"
            )
        self.weight, self.ssim_weight, self.smooth_weight = weight, ssim_weight, smooth_weight

    def forward(self, matches: Sequence[Match], left: Tensor, right: Tensor) -> Tensor:
        """Scalar, the mean over matches.

        Args:
            left, right: images ``(B, 3, H, W)`` in [0, 1], as large as those that were matched.
        """
        with torch.autocast(left.device.type, enabled=False):
            return self.weight * sum(self._term(match, left, right) for match in matches) / len(matches)

    def _term(self, match: Match, left: Tensor, right: Tensor) -> Tensor:
        image, other = (F.avg_pool2d(x.float(), match.stride) for x in (left, right))
        if not match.left:
            image, other = other, image
        error = photometric_error(match.paint(other), image, self.ssim_weight).mean()
        fraction = match.disparity / match.probability.shape[1]
        return error + self.smooth_weight * edge_aware_smoothness(fraction, image)
