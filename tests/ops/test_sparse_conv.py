"""Sparse convolution: against its definition, numerical gradients and spconv."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import DataError, OperatorUnavailableError
from dense3d.ops import ConvRules, select_backend, sparse_conv, sparse_conv_reference, sparse_convolution
from dense3d.pointcloud.sparse import build_pyramid

KINDS = {"cube": 27, "down": 8, "up": 8}
SCHEDULES = {"all taps at once": sparse_convolution.MANY, "tap by tap": 0}


def rules_of(kind: str, count: int = 60) -> ConvRules:
    torch.manual_seed(count)
    pyramid = build_pyramid(torch.unique(torch.randint(0, 6, (count, 3)), dim=0), depth=2)
    step = pyramid.halvings[0]
    return {"cube": pyramid[0].cube_rules, "down": step.down_rules, "up": step.up_rules}[kind]


def values(rules: ConvRules, taps: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    features = torch.randn(rules.num_inputs, 3, dtype=dtype, requires_grad=True)
    return features, torch.randn(4, taps, 3, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_gradients_are_those_of_the_definition(kind, schedule, monkeypatch):
    monkeypatch.setattr(sparse_convolution, "MANY", SCHEDULES[schedule])
    rules = rules_of(kind)
    ours, theirs = values(rules, KINDS[kind]), values(rules, KINDS[kind])
    found, expected = sparse_conv(*ours, rules), sparse_conv_reference(*theirs, rules)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_by_differences(kind):
    rules = rules_of(kind, 6)
    assert torch.autograd.gradcheck(lambda *pair: sparse_conv(*pair, rules), values(rules, KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_spconv_gives_the_same(kind):
    try:
        select_backend("sparse_conv", "cpu", "spconv")
    except OperatorUnavailableError as error:
        pytest.skip(f"spconv is not there to compare with: {error}")
    rules = rules_of(kind)
    features, weight = values(rules, KINDS[kind], torch.float32)
    found = sparse_conv(features, weight, rules, backend="spconv")
    torch.testing.assert_close(found, sparse_conv_reference(features, weight, rules), rtol=1e-4, atol=1e-5)
    found.sum().backward()
    assert features.grad.abs().sum() > 0


def test_the_table_has_the_pairs_of_the_steps():
    """What spconv is given, without spconv: read back as steps it is the same convolution."""
    rules = rules_of("cube")
    pairs, counts = rules.table
    steps = [(t, pairs[1, t, :n].long(), pairs[0, t, :n].long()) for t, n in enumerate(counts.tolist())]
    again = ConvRules(steps, rules.num_outputs, rules.num_inputs)
    arguments = values(rules, 27)
    torch.testing.assert_close(
        sparse_conv_reference(*arguments, again), sparse_conv_reference(*arguments, rules)
    )


def test_autocast_computes_in_the_lower_precision():
    rules = rules_of("cube")
    features, weight = values(rules, 27, torch.float32)
    exact = sparse_conv(features, weight, rules)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sparse_conv(features, weight, rules)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.1, atol=0.3)
    found.float().sum().backward()
    assert features.grad.dtype == torch.float32


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rows_without_a_pair_and_taps_that_are_left_out(schedule, monkeypatch):
    monkeypatch.setattr(sparse_convolution, "MANY", SCHEDULES[schedule])
    rules = ConvRules([(5, torch.tensor([2, 0]), torch.tensor([1, 1]))], num_outputs=4, num_inputs=3)
    features = torch.tensor([[1.0], [2.0], [4.0]], requires_grad=True)
    weight = torch.full((1, 7, 1), 3.0, requires_grad=True)
    found = sparse_conv(features, weight, rules)
    assert found.flatten().tolist() == [6, 0, 6, 0]
    found.sum().backward()
    assert features.grad.flatten().tolist() == [0, 6, 0]
    assert weight.grad.flatten().tolist() == [0, 0, 0, 0, 0, 4, 0]


def test_no_rows_and_no_pairs():
    nothing = ConvRules([(0, torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))], 2, 0)
    found = sparse_conv(torch.zeros(0, 3, requires_grad=True), torch.zeros(4, 8, 3), nothing)
    assert found.shape == (2, 4)
    assert not found.any()


def test_other_shapes_are_refused():
    rules = rules_of("cube")
    with pytest.raises(DataError, match=rf"takes features \({rules.num_inputs}, 3\), not \(1, 3\)"):
        sparse_conv(torch.zeros(1, 3), torch.zeros(4, 27, 3), rules)
