"""Recursive gated convolution, and the filters that it may gate with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.layers.spectral_filter import GlobalFilter


class GatedConv(nn.Module):
    """A few channels, multiplied again and again with spatially filtered ones while their number doubles.

    Rao et al., "HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions", NeurIPS
    2022, eq. 3 and 4. With widths ``w_k = dim / 2 ** (order - 1 - k)``: a projection gives p (w_0) and
    q (all w_k); q is filtered and multiplied by ``scale``, then ``x_0 = p * q_0`` and
    ``x_(k + 1) = step_k(x_k) * q_(k + 1)``.

    Args:
        dim: channels, a multiple of ``2 ** (order - 1)``.
        order: number of products.
        scale: factor of the filtered channels.
        filter_size: rows and columns of the spectrum of a :class:`GlobalLocalFilter`; a depthwise convolution
            of 7 x 7 filters where it is None.

    Shape:
        ``(B, H, W, dim)`` to the same.

    Raises:
        ConfigError: the channels cannot be halved as often, or the filter cannot halve its own.

    Example:
        >>> GatedConv(16, order=3)(torch.zeros(2, 5, 6, 16)).shape
        torch.Size([2, 5, 6, 16])
    """

    def __init__(
        self,
        dim: int,
        order: int = 5,
        scale: float = 1 / 3,
        filter_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if order < 1 or dim % 2 ** (order - 1):
            raise ConfigError(
                f"{dim} channels cannot be halved {order - 1} times: a gated convolution of order {order} "
                f"needs a multiple of {2 ** max(order - 1, 0)}"
            )
        self.widths = [dim // 2 ** (order - 1 - k) for k in range(order)]
        self.scale = scale
        self.proj_in = nn.Linear(dim, 2 * dim)
        filtered = sum(self.widths)
        if filter_size is None:
            self.filter = nn.Conv2d(filtered, filtered, 7, padding=3, groups=filtered)
        else:
            self.filter = GlobalLocalFilter(filtered, filter_size)
        self.steps = nn.ModuleList(nn.Linear(w, 2 * w) for w in self.widths[:-1])
        self.proj_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Project, filter, multiply."""
        gated, rest = self.proj_in(x).split([self.widths[0], sum(self.widths)], dim=-1)
        rest = self.filter(rest.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) * self.scale  # (B, H, W, sum w)
        first, *others = rest.split(self.widths, dim=-1)
        gated = gated * first
        for step, factor in zip(self.steps, others):
            gated = step(gated) * factor
        return self.proj_out(gated)


class GlobalLocalFilter(nn.Module):
    """Half of the channels through a depthwise convolution, half through a global filter, between norms.

    Rao et al., NeurIPS 2022, section 3.2. The halves come out interleaved: local, global, local ....

    Args:
        channels: C, even.
        size: rows and columns of the learned spectrum, such as 14 x 8 for maps of 14 x 14.

    Shape:
        ``(B, C, H, W)`` to the same.

    Raises:
        ConfigError: an odd number of channels.

    Example:
        >>> GlobalLocalFilter(4, (4, 3))(torch.zeros(1, 4, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        if channels % 2:
            raise ConfigError(f"a global-local filter halves its channels, but {channels} is odd")
        half = channels // 2
        self.pre_norm = ChannelLayerNorm(channels)
        self.local = nn.Conv2d(half, half, 3, padding=1, bias=False, groups=half)
        self.spectral = GlobalFilter(half, (size[0], 2 * (size[1] - 1) or 1), resizing="spectrum")
        self.post_norm = ChannelLayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The filtered map."""
        local, wide = self.pre_norm(x).chunk(2, dim=1)
        both = torch.stack([self.local(local), self.spectral(wide)], dim=2)  # (B, C / 2, 2, H, W)
        return self.post_norm(both.flatten(1, 2))
