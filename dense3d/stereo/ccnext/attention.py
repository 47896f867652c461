"""Windowed epipolar cross-attention: a pixel of one image looks along its row of the other.

CCNeXt (arXiv 2509.22627), section on windowed epipolar cross-attention. In a rectified pair a match lies on
the same row and not farther away than the largest disparity, to the left or to the right of it (training
takes either camera as the reference, and mirrored pairs).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.ops.banded import band_attention

INITIALISATIONS = ("recommended", "official")


def window_reach(width: int, window_size: float) -> int:
    """Columns that a query sees to each side, itself included: ``int(width * window_size)``.

    Args:
        width: of the feature map.
        window_size: fraction of the width.

    Raises:
        DataError: none is left.

    Example:
        >>> [window_reach(w, 0.26) for w in (320, 160, 80)]
        [83, 41, 20]
    """
    reach = int(width * window_size)
    if reach < 1:
        raise DataError(
            f"window_size={window_size} of a map that is {width} columns wide is less than one column: "
            f"use at least {1 / width:.3g}, or wider images"
        )
    return reach


class EpipolarAttention(nn.Module):
    """Adds to each of two maps what it finds on the same rows of the other, within a window.

    ``z1 = x1 + W(softmax(Q(x1) K(x2)^T) V(x2))`` for each row, and the same with the images exchanged.
    There is one head, products are not divided by the root of the channels, and both directions share all
    weights.

    Args:
        channels: of the maps.
        window_size: reach to each side as a fraction of the width.
        init: ``"recommended"`` starts as the identity by zeroing the batch norm of W alone; ``"official"``
            zeroes that of V too, after which no gradient reaches Q, K, V and the weights of W.
        batch_norm: whether V and W end in batch norms; without them W starts at zero.

    Shape:
        two maps ``(B, channels, H, W)`` of any size to two like them.

    Raises:
        ConfigError: an unknown ``init``, or a window that is no fraction.

    Example:
        >>> attention = EpipolarAttention(4)
        >>> left, right = torch.randn(2, 1, 4, 3, 8)
        >>> torch.equal(attention(left, right)[0], left)
        True
    """

    def __init__(
        self,
        channels: int,
        window_size: float = 0.26,
        init: str = "recommended",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_init(init)
        if not 0 < window_size <= 1:
            raise ConfigError(f"window_size={window_size} is a fraction of the width, above 0 and at most 1")
        self.window_size = window_size
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = projection(channels, batch_norm)
        self.output = projection(channels, batch_norm)
        zero_norm(self.output)
        if init == "official" and batch_norm:
            zero_norm(self.value)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Both maps with what they found; the batch norms see one image after the other."""
        pair, other = torch.cat([left, right]), torch.cat([right, left])
        value = _each(self.value, right, left)
        found = self._attend(self.query(pair), self.key(other), value)
        return (pair + _each(self.output, *found.chunk(2))).chunk(2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``(2B, C, H, W)`` each, the other image in key and value."""
        batch, _, height, width = query.shape
        rows = [x.permute(0, 2, 3, 1).flatten(0, 1) for x in (query, key, value)]  # (2B * H, W, C)
        found = band_attention(*rows, window_reach(width, self.window_size))
        return found.unflatten(0, (batch, height)).permute(0, 3, 1, 2)


def _each(module: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """Both maps through a module, apart where its batch norm counts; one behind the other ``(2B, C, H,
    W)``."""
    if module.training and isinstance(module, nn.Sequential):
        return torch.cat([module(first), module(second)])
    return module(torch.cat([first, second]))


def projection(channels: int, batch_norm: bool = True) -> nn.Module:
    """A 1x1 convolution, and a batch norm unless told otherwise."""
    convolution = nn.Conv2d(channels, channels, 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels)) if batch_norm else convolution


def zero_norm(module: nn.Module) -> None:
    """Zero the last layer of a :func:`projection`, weight and bias."""
    last = module[1] if isinstance(module, nn.Sequential) else module
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


def check_init(init: str) -> None:
    """Complain about an unknown initialisation.

    Raises:
        ConfigError: it is unknown.
    """
    if init not in INITIALISATIONS:
        raise ConfigError(f"init={init!r}, but there are {' and '.join(INITIALISATIONS)}")
