"""Mixers of tokens: closed forms, and random mixing on other grids."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers.metaformer import RandomMixing, mixer


def test_pooling_is_the_mean_of_the_neighbours_that_there_are():
    x = torch.randn(1, 2, 4, 5)
    mixed = mixer("pool", 2)(x)
    torch.testing.assert_close(mixed[..., 0, 0], x[..., :2, :2].mean((2, 3)) - x[..., 0, 0])
    torch.testing.assert_close(mixed[..., 2, 4], x[..., 1:4, 3:5].mean((2, 3)) - x[..., 2, 4])
    torch.testing.assert_close(mixer("pool", 2, 5)(x)[..., 2, 2], x[..., :5, :5].mean((2, 3)) - x[..., 2, 2])


def test_random_mixing_on_its_own_grid_is_its_matrix():
    mixing, x = RandomMixing((3, 2)), torch.randn(2, 4, 3, 2)
    expected = x.flatten(2) @ mixing.random_matrix.t()
    torch.testing.assert_close(mixing(x), expected.unflatten(2, (3, 2)))
    assert not list(mixing.parameters())
    torch.testing.assert_close(mixing.random_matrix.sum(1), torch.ones(6))


def test_random_mixing_on_another_grid_keeps_sums_and_places():
    mixing = RandomMixing((2, 2))
    with torch.no_grad():
        mixing.random_matrix.copy_(torch.eye(4))
    matrix = mixing.matrix((4, 6))
    torch.testing.assert_close(matrix.sum(1), torch.ones(24))
    from_corner = matrix[0].view(4, 6)  # the top left token receives from its own quarter alone
    assert from_corner[:2, :3].sum() > 0.7 and from_corner[3, 5] == 0
    assert torch.equal(mixing(torch.ones(1, 1, 5, 3)).round(decimals=5), torch.ones(1, 1, 5, 3))


def test_unknown_mixers_are_named():
    with pytest.raises(ConfigError, match="no mixer 'attn'; did you mean 'attention'"):
        mixer("attn", 32)
    with pytest.raises(ConfigError, match="heads of 32 channels, which do not divide 48"):
        mixer("attention", 48)
