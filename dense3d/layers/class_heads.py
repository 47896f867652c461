"""From the features of an image to logits of its class: heads of maps and of tokens.

Heads whose norm sees the map are in :mod:`dense3d.layers.map_head`.
"""

from __future__ import annotations

from torch import Tensor, nn


class MapHead(nn.Module):
    """Mean over the pixels of a map, layer norm and a linear layer, as ConvNeXt ends.

    Args:
        channels: of the map.
        num_classes: of the logits.
        eps: of the norm.

    Shape:
        ``(B, channels, h, w)`` to ``(B, num_classes)``.

    Example:
        >>> import torch
        >>> MapHead(8, 3)(torch.zeros(2, 8, 4, 5)).shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: int, num_classes: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=eps)
        self.head = small_linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of maps."""
        return self.classify(self.feature(x))

    def feature(self, x: Tensor) -> Tensor:
        """What the linear layer reads, ``(B, channels)``."""
        return self.norm(x.mean(dim=(2, 3)))

    def classify(self, feature: Tensor) -> Tensor:
        """Logits of a :meth:`feature`."""
        return self.head(feature)


class TokenHead(nn.Module):
    """Layer norm and a linear layer on the class token, or on the mean of the patches, of a plain ViT.

    Args:
        norm: of tokens.
        dim: channels of a token, D.
        num_classes: of the logits.
        num_prefix: P, class token and registers, which stand first.
        mean: whether to take the mean of the patches (MAE, BEiT), whose norm comes after it.
        distilled: whether the second token has a linear layer of its own; logits are then the mean of the
            two. Touvron et al., "Training data-efficient image transformers", ICML 2021, section 4.

    Shape:
        ``(B, P + N, D)`` to ``(B, num_classes)``.

    Example:
        >>> import torch
        >>> TokenHead(nn.LayerNorm(8), 8, 3)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        norm: nn.Module,
        dim: int,
        num_classes: int,
        num_prefix: int = 1,
        mean: bool = False,
        distilled: bool = False,
    ) -> None:
        super().__init__()
        self.num_prefix, self.mean = num_prefix, mean
        self.norm = norm
        self.head = small_linear(dim, num_classes)
        self.head_dist = small_linear(dim, num_classes) if distilled else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the tokens that leave the last block."""
        return self.classify(self.feature(tokens))

    def feature(self, tokens: Tensor) -> Tensor:
        """What the linear layers read: ``(B, D)``, or ``(B, 2, D)`` of a distilled network."""
        if self.mean:
            return self.norm(tokens[:, self.num_prefix :].mean(dim=1))
        return self.norm(tokens[:, 0] if self.head_dist is None else tokens[:, :2])

    def classify(self, feature: Tensor) -> Tensor:
        """Logits of a :meth:`feature`."""
        if self.head_dist is None:
            return self.head(feature)
        return (self.head(feature[:, 0]) + self.head_dist(feature[:, 1])) / 2


def small_linear(in_channels: int, out_channels: int) -> nn.Linear:
    """A linear layer that starts with a deviation of 0.02, truncated, and without bias."""
    linear = nn.Linear(in_channels, out_channels)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear
