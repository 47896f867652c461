"""One step of k-means as cross-attention: each pixel belongs to its best query alone.

Yu et al., "k-means Mask Transformer", ECCV 2022 (arXiv:2207.04044), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def assign_clusters(logits: Tensor) -> Tensor:
    """Index of the cluster with the largest logit at every pixel, the first one among equals.

    Args:
        logits: ``(B, N, H, W)`` of N clusters.

    Returns:
        ``(B, H, W)``; there is no gradient.

    Example:
        >>> assign_clusters(torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])).tolist()
        [[[1, 0]]]
    """
    return logits.argmax(dim=1)


def gather_clusters(values: Tensor, assignment: Tensor, num_clusters: int) -> Tensor:
    """Sum of the values of each cluster's pixels.

    The product of a one-hot assignment with the values, without that matrix of clusters and pixels: each
    pixel is added where it belongs. The gradient of a sum goes to its pixels as it is.

    Args:
        values: ``(B, C, H, W)``.
        assignment: ``(B, H, W)``, cluster of each pixel.
        num_clusters: N.

    Returns:
        ``(B, C, N)``, in single precision at least: a cluster may have tens of thousands of pixels, whose sum
        is beyond half precision. Clusters without pixels are zero.

    Example:
        >>> gather_clusters(torch.tensor([[[[1.0, 2.0, 4.0]]]]), torch.tensor([[[2, 0, 2]]]), 3).tolist()
        [[[2.0, 0.0, 5.0]]]
    """
    channels = values.shape[1]
    index = assignment.flatten(1)[:, None].expand(-1, channels, -1)  # (B, C, H * W)
    pixels = values.to(torch.promote_types(values.dtype, torch.float32)).flatten(2)
    return pixels.new_zeros(len(pixels), channels, num_clusters).scatter_add(2, index, pixels)
