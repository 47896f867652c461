"""Feed-forward networks with a depthwise convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.errors import ConfigError
from dense3d.layers.depthwise_mlp import DepthwiseConv, DepthwiseMLP


def by_channels(conv: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """The convolution, channel by channel, of a channels-last map."""
    alone = [
        torch.conv2d(x[..., c][:, None], conv.weight[c][None], conv.bias[c][None], padding=conv.padding)[:, 0]
        for c in range(x.shape[-1])
    ]
    return torch.stack(alone, dim=-1)


@pytest.mark.parametrize("kernel", [3, 5])
def test_every_channel_has_its_own_kernel(kernel):
    torch.manual_seed(0)
    conv, x = DepthwiseConv(4, kernel), torch.randn(2, 5, 6, 4)
    torch.testing.assert_close(conv(x), by_channels(conv, x))


@pytest.mark.parametrize(
    ("place", "residual", "between"),
    [
        ("before", False, lambda conv, h: nn.functional.gelu(conv(h))),
        ("before", True, lambda conv, h: nn.functional.gelu(h + conv(h))),
        ("after", False, lambda conv, h: conv(nn.functional.gelu(h))),
        ("after", True, lambda conv, h: nn.functional.gelu(h) + conv(nn.functional.gelu(h))),
    ],
)
def test_the_convolution_stands_where_it_is_put(place, residual, between):
    torch.manual_seed(0)
    mlp, x = DepthwiseMLP(4, 6, place, residual), torch.randn(2, 5, 3, 4)
    expected = mlp.fc2(between(lambda h: by_channels(mlp.conv, h), mlp.fc1(x)))
    torch.testing.assert_close(mlp(x), expected)


def test_an_unknown_place_is_refused():
    with pytest.raises(ConfigError, match="conv_place='middle': the convolution stands 'before' or 'after'"):
        DepthwiseMLP(4, 8, "middle")
