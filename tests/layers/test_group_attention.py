"""Groups of neighbours and of tokens far apart, and the bias of their positions."""

from __future__ import annotations

import pytest
import torch

from dense3d.layers import DynamicPositionBias, GroupAttention, from_groups, to_groups


@pytest.mark.parametrize(("side", "interval"), [(2, 1), (3, 2), (1, 6), (6, 1)])
def test_groups_are_undone(side, interval):
    x = torch.randn(2, 12, 6, 5)
    groups = to_groups(x, side, interval)
    assert groups.shape == (2, 72 // side**2, side**2, 5)
    assert torch.equal(from_groups(groups, (12, 6), side, interval), x)


def test_tokens_of_a_group_are_an_interval_apart():
    places = torch.stack(torch.meshgrid(torch.arange(12), torch.arange(6), indexing="ij"), -1)[None]
    for group in to_groups(places, 3, 2)[0]:
        rows, columns = group.view(3, 3, 2).unbind(-1)
        assert (rows.diff(dim=0) == 2).all() and (columns.diff(dim=1) == 2).all()
        assert rows[0, 0] % 6 < 2 and columns[0, 0] % 6 < 2  # within one tile


def test_position_bias_is_the_network_of_the_offset():
    torch.manual_seed(0)
    position = DynamicPositionBias(6, 3)
    places = torch.cartesian_prod(torch.arange(2.0), torch.arange(4.0))
    bias = position((2, 4))
    for i, j in ((0, 0), (1, 6), (7, 2), (5, 4)):
        torch.testing.assert_close(bias[:, i, j], position.mlp(places[i] - places[j]))


def test_padding_takes_no_part():
    torch.manual_seed(0)
    attention = GroupAttention(32, 4)
    groups, padding = torch.randn(2, 3, 4, 32), torch.zeros(3, 4, dtype=torch.bool)
    padding[1, 2:] = True
    changed = groups.clone()
    changed[:, 1, 2:] += 5.0
    a, b = attention(groups, 2, padding), attention(changed, 2, padding)
    torch.testing.assert_close(a[:, 1, :2], b[:, 1, :2])
    whole = attention(groups, 2)
    torch.testing.assert_close(a[:, (0, 2)], whole[:, (0, 2)])
    assert (a[:, 1, :2] - whole[:, 1, :2]).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_groups_of_padding_alone_have_finite_gradients(dtype):
    torch.manual_seed(0)
    attention = GroupAttention(32, 2).to(dtype)
    padding = torch.tensor([[False] * 4, [True] * 4])
    out = attention(torch.randn(2, 2, 4, 32, dtype=dtype), 2, padding)
    out[:, 0].sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in attention.parameters())
