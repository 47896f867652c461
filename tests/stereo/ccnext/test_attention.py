"""Windowed epipolar cross-attention: against the formula, its window, and how it starts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dense3d.errors import ConfigError, DataError
from dense3d.stereo.ccnext import EpipolarAttention, ResidualSkip, window_reach


def awake(channels: int = 6, **settings) -> EpipolarAttention:
    """An attention whose batch norms are not zero."""
    torch.manual_seed(0)
    attention = EpipolarAttention(channels, **settings)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    return attention.eval()


def pair(width: int = 21, channels: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return tuple(torch.randn(2, 2, channels, 3, width))


def by_formula(attention: EpipolarAttention, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Row by row, pixel by pixel."""
    query, key, value = attention.query(first), attention.key(second), attention.value(second)
    reach = int(first.shape[3] * attention.window_size)
    found = torch.zeros_like(value)
    for b in range(len(first)):
        for y in range(first.shape[2]):
            for x in range(first.shape[3]):
                near = slice(max(x - reach + 1, 0), x + reach)
                weights = (query[b, :, y, x] @ key[b, :, y, near]).softmax(0)
                found[b, :, y, x] = value[b, :, y, near] @ weights
    return first + attention.output(found)


@pytest.mark.parametrize("window_size", [0.05, 0.26, 1.0])
def test_it_is_the_formula(window_size):
    attention, (left, right) = awake(window_size=window_size), pair()
    with torch.no_grad():
        found = attention(left, right)
        torch.testing.assert_close(found[0], by_formula(attention, left, right))
        torch.testing.assert_close(found[1], by_formula(attention, right, left))


def test_rows_do_not_see_each_other_and_columns_only_near_ones():
    attention, (left, right) = awake(window_size=0.26), pair()
    changed = right.clone()
    changed[:, :, 1, 10] += 5
    with torch.no_grad():
        difference = (attention(left, changed)[0] - attention(left, right)[0]).abs().amax((0, 1))
    touched = difference.nonzero().tolist()
    assert {y for y, _ in touched} == {1}
    assert {x for _, x in touched} == set(range(6, 15))  # a reach of 5 columns


def test_batch_norms_see_one_image_after_the_other():
    """Two updates of the running statistics in a step, of one image each."""
    attention, (left, right) = EpipolarAttention(6).train(), pair()
    attention(left, right)
    norm = attention.value[1]
    assert norm.num_batches_tracked == 2
    expected = copy.deepcopy(norm)
    expected.reset_running_stats()
    for image in (right, left):
        expected(attention.value[0](image))
    torch.testing.assert_close(norm.running_mean, expected.running_mean)


def trained(module: nn.Module, inputs: tuple[torch.Tensor, ...], steps: int = 20) -> dict[str, float]:
    """Largest change of each parameter in some steps of gradient descent."""
    torch.manual_seed(2)
    module, inputs = module.double(), [x.double() for x in inputs]
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    targets = [torch.randn_like(x) for x in inputs]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(steps):
        found = module(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        loss = sum((a - b).square().mean() for a, b in zip(found, targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {
        name: (value.detach() - before[name]).abs().max().item() for name, value in module.named_parameters()
    }


def test_the_official_start_is_dead():
    """Both batch norms at zero: what comes out is constant, and nothing but W's bias moves.

    In double precision: rounding, divided by the batch norm's small deviation, breaks the tie in the end.
    """
    moved = trained(EpipolarAttention(6, init="official"), pair())
    assert moved.pop("output.1.bias") > 1e-3
    assert max(moved.values()) < 1e-9


def test_the_recommended_start_learns():
    """With W's batch norm at zero alone, the first step moves it, and the second all the rest."""
    moved = trained(EpipolarAttention(6), pair())
    still = {"key.bias"}  # the softmax does not see what is added to all keys of a query
    still |= {"value.0.bias", "value.1.bias", "output.0.bias"}  # nor do batch norms what all pixels have
    assert min(value for name, value in moved.items() if name not in still) > 1e-5


@pytest.mark.parametrize(("init", "learns"), [("official", False), ("recommended", True)])
def test_skip_blocks_start_the_same_way(init, learns):
    moved = trained(ResidualSkip(6, init), pair()[:1])
    assert (moved["inner.0.weight"] > 1e-5) is learns
    assert (moved["output.0.weight"] > 1e-5) is learns


def test_without_batch_norms_it_starts_as_the_identity_and_learns():
    attention, (left, right) = EpipolarAttention(6, batch_norm=False), pair()
    assert torch.equal(attention(left, right)[1], right)
    assert trained(attention, (left, right))["query.weight"] > 1e-5


def test_windows():
    assert [window_reach(w, 0.26) for w in (320, 160, 80)] == [83, 41, 20]
    with pytest.raises(DataError, match=r"window_size=0.05 of a map that is 10 columns wide .* at least 0.1"):
        window_reach(10, 0.05)
    with pytest.raises(ConfigError, match=r"window_size=1.5 is a fraction"):
        EpipolarAttention(4, window_size=1.5)
    with pytest.raises(ConfigError, match="init='zero', but there are recommended and official"):
        EpipolarAttention(4, init="zero")
