"""Linear probes: LARS against its formula, the schedule, and features that a line separates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.errors import DataError
from dense3d.evaluation.classification import LARS, ProbeHead, fit_probe
from dense3d.evaluation.classification.linear_probe import _factor


def test_lars_is_its_formula_and_spares_vectors():
    torch.manual_seed(0)
    layer = nn.Linear(4, 3).double()
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = LARS(layer.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1, trust=0.01)
    momenta = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(5, 4, dtype=torch.float64)).square().sum().backward()
        update = layer.weight.grad + 0.1 * weight
        momenta[0] = 0.9 * momenta[0] + 0.01 * weight.norm() / update.norm() * update
        momenta[1] = 0.9 * momenta[1] + layer.bias.grad
        optimizer.step()
        weight, bias = weight - 0.5 * momenta[0], bias - 0.5 * momenta[1]
        torch.testing.assert_close(layer.weight.detach(), weight)
        torch.testing.assert_close(layer.bias.detach(), bias)


def test_a_matrix_of_zeros_moves_all_the_same():
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    LARS([weight], lr=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))


def test_the_rate_rises_and_falls_to_nothing():
    assert [_factor(epoch, 90, 10) for epoch in (0, 5, 10, 50, 90)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_classes_that_a_line_separates_are_learnt_whatever_the_scale():
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    features = 1000 * (torch.eye(3)[labels] + 0.1 * torch.randn(300, 3)) + 5000
    states = [torch.random.get_rng_state()]
    head = fit_probe(features, labels, 3, epochs=60, batch_size=100, rate=1.0, trust=0.05)
    assert torch.equal(states[0], torch.random.get_rng_state())  # nobody else's random numbers are used up
    assert (head(features).argmax(1) == labels).float().mean() > 0.97
    again = fit_probe(features, labels, 3, epochs=60, batch_size=100, rate=1.0, trust=0.05)
    assert torch.equal(head[1].weight, again[1].weight)
    with pytest.raises(DataError, match="too few"):
        fit_probe(features[:1], labels[:1], 3)


def test_the_norm_has_no_weights():
    assert [name for name, _ in ProbeHead(4, 2).named_parameters()] == ["1.weight", "1.bias"]
