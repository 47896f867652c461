"""A small PointNet that turns each patch of points into a token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

LOCAL, HIDDEN = 256, 512  # channels


class PatchEmbedding(nn.Module):
    """Patches of points to tokens, whatever the order of the points.

    Pang et al., ECCV 2022, section 3.1, after Qi et al., "PointNet", CVPR 2017: two layers a point, the
    maximum over the patch joined to each point, two more layers, the maximum. Batch statistics are those of
    all patches, hidden ones too. The channels of the maximum pass the third layer once a patch and not once a
    point, and the last layer sees chosen patches alone; neither changes the result.

    Args:
        dim: channels of a token.

    Shape:
        ``(B, G, K, 3)``, relative to the patch's centre, to ``(B, G, dim)``.

    Example:
        >>> import torch
        >>> PatchEmbedding(16)(torch.zeros(2, 4, 8, 3)).shape
        torch.Size([2, 4, 16])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear1, self.norm1 = nn.Linear(3, 128), nn.BatchNorm1d(128)
        self.linear2 = nn.Linear(128, LOCAL)
        self.linear3, self.norm3 = nn.Linear(2 * LOCAL, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.linear4 = nn.Linear(HIDDEN, dim)

    def forward(self, patches: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Tokens of patches.

        Args:
            patches: ``(B, G, K, 3)``.
            chosen: ``(B, G)`` bool, true for patches whose tokens are wanted, equally many of each sample.

        Returns:
            ``(B, G, dim)``, or ``(B, C, dim)`` of the C chosen ones in their order.
        """
        batch, size = len(patches), patches.shape[2]
        late = chosen if self.training else None  # statistics are over all patches
        patches = patches.flatten(0, 1) if chosen is None or self.training else patches[chosen]  # (P, K, 3)
        points = F.relu(self.norm1(self.linear1(patches.flatten(0, 1))))  # (P * K, 128)
        points = self.linear2(points)
        whole = points.unflatten(0, (-1, size)).max(dim=1).values  # (P, 256)
        of_whole, of_point = self.linear3.weight.split(LOCAL, dim=1)
        whole = F.linear(whole, of_whole, self.linear3.bias)  # (P, 512)
        hidden = F.linear(points, of_point).unflatten(0, (-1, size)) + whole[:, None]  # (P, K, 512)
        hidden = F.relu(self.norm3(hidden.flatten(0, 1))).unflatten(0, (-1, size))
        if late is not None:
            hidden = hidden[late.flatten()]
        return self.linear4(hidden).max(dim=1).values.unflatten(0, (batch, -1))
