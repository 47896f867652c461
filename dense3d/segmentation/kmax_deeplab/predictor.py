"""Class, mask and pixel features from queries and a feature map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, batch_norm, truncated_normal_

# Share of queries that are expected to be void before training.
VOID_PRIOR = 0.9


@dataclass
class Prediction:
    """What the queries of one layer say."""

    logits: Tensor  # (B, N, K + 1), the last is void
    masks: Tensor  # (B, N, h, w) logits over the queries
    pixels: Tensor  # (B, 128, h, w), of unit length as predicted


class Predictor(nn.Module):
    """Masks as inner products of pixel features with a kernel of each query.

    Args:
        num_classes: K, without void.
        query_channels: channels of the queries.
        pixel_channels: channels of the map.
        kernel_channels: channels of pixel features and kernels.

    Example:
        >>> import torch
        >>> predictor = Predictor(num_classes=3)
        >>> queries, pixels = torch.zeros(1, 256, 5), torch.zeros(1, 256, 4, 6)
        >>> predictor(queries, queries, pixels).masks.shape
        torch.Size([1, 5, 4, 6])
    """

    def __init__(
        self,
        num_classes: int,
        query_channels: int = 256,
        pixel_channels: int = 256,
        kernel_channels: int = 128,
    ) -> None:
        super().__init__()
        # Makes a query void with probability VOID_PRIOR when all other logits are zero; it is no parameter.
        self.void_bias = math.log(num_classes * VOID_PRIOR / (1 - VOID_PRIOR))
        self.pixel_depthwise = ConvNorm(pixel_channels, pixel_channels, kernel_size=5, depthwise=True)
        self.pixel_proj = ConvNorm(pixel_channels, 256)
        self.pixel_output = ConvNorm(256, kernel_channels, bias=True, act=False, std=0.01)
        self.mask_kernel = ConvNorm(query_channels, kernel_channels, dims=1, act=False)
        self.mask_norm = batch_norm(1, gamma=0.1)
        self.class_proj = nn.Conv1d(query_channels, num_classes + 1, 1)
        truncated_normal_(self.class_proj.weight, 0.01)
        nn.init.zeros_(self.class_proj.bias)

    def forward(self, mask_queries: Tensor, class_queries: Tensor, pixels: Tensor) -> Prediction:
        """Predict.

        Args:
            mask_queries: ``(B, query_channels, N)``, from which kernels are made.
            class_queries: ``(B, query_channels, N)``, which are classified.
            pixels: ``(B, pixel_channels, h, w)``.
        """
        pixels = self.pixel_output(self.pixel_proj(self.pixel_depthwise(pixels)))
        pixels = F.normalize(pixels, dim=1)
        kernels = self.mask_kernel(mask_queries)
        masks = kernels.transpose(1, 2) @ pixels.flatten(2)  # (B, N, h * w)
        masks = self.mask_norm(masks[:, None])[:, 0].unflatten(2, pixels.shape[-2:])
        logits = self.class_proj(class_queries).transpose(1, 2)
        void = logits.new_zeros(logits.shape[-1])
        void[-1] = self.void_bias
        return Prediction(logits + void, masks, pixels)
