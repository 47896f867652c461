"""The relation encoder against the paper's formulas, in value, gradient and memory."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers import position_relation
from dense3d.layers.position_relation import (
    PositionRelation,
    log_box_encoding,
    relation_bias,
    relation_logits,
)
from dense3d.layers.sine_position import sine_features
from dense3d.registry import MODELS


def random_boxes(number: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """(2, number, 4) with a box of zero size and one that is the same for every seed."""
    boxes = torch.rand(2, number, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    boxes[:, 0, 2:] = 0
    boxes[:, 1] = 0.5
    return boxes.to(dtype)


def built(dtype: torch.dtype = torch.float64, **settings) -> PositionRelation:
    torch.manual_seed(1)
    return MODELS.build(dict(type="PositionRelation", **settings)).to(dtype)


def reference(relation: PositionRelation, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    weight, bias = relation.pos_proj[0].weight.flatten(1), relation.pos_proj[0].bias
    return relation_logits(source, target, weight, bias, relation.temperature, relation.scale).relu()


def test_encoding_of_two_boxes_by_hand():
    source = torch.tensor([[0.5, 0.4, 0.2, 0.1]], dtype=torch.float64)
    target = torch.tensor([[0.3, 0.4, 0.1, 0.3]], dtype=torch.float64)
    expected = [
        math.log(0.2 / (0.2 + 1e-5) + 1),
        0.0,
        math.log((0.2 + 1e-5) / (0.1 + 1e-5)),
        math.log((0.1 + 1e-5) / (0.3 + 1e-5)),
    ]
    assert log_box_encoding(source, target)[0, 0].tolist() == pytest.approx(expected)


def test_sine_features_take_turns_from_the_highest_frequency_down():
    features = sine_features(torch.tensor([0.3, -0.2]), 4, temperature=100.0, scale=5.0)
    expected = [f(v * w) for v in (0.3, -0.2) for w in (5.0, 0.5) for f in (math.sin, math.cos)]
    assert features.tolist() == pytest.approx(expected, abs=1e-6)


def test_projection_of_features_is_that_of_the_convolution_of_the_checkpoint():
    relation, boxes = built(), random_boxes(5, 0)
    features = sine_features(log_box_encoding(boxes, boxes), 16, 10000.0, 100.0)
    expected = relation.pos_proj(features.permute(0, 3, 1, 2))
    assert set(relation.state_dict()) == {"pos_proj.0.weight", "pos_proj.0.bias"}
    assert torch.allclose(reference(relation, boxes, boxes), expected.relu())


@pytest.mark.parametrize("chunk", [1, 1000, 1 << 30])
@pytest.mark.parametrize("settings", [{}, {"embed_dims": 6, "num_heads": 3, "temperature": 20.0}])
def test_value_and_gradients_equal_those_of_the_plain_formula(monkeypatch, chunk, settings):
    monkeypatch.setitem(position_relation.CHUNK, "cpu", chunk)
    relation, source, target = built(**settings), random_boxes(7, 0), random_boxes(9, 1)
    ours, plain = relation(source, target), reference(relation, source, target)
    grad = torch.randn_like(ours)
    assert torch.allclose(ours, plain, rtol=1e-9, atol=1e-9)
    parameters = list(relation.parameters())
    for one, other in zip(
        torch.autograd.grad(ours, parameters, grad), torch.autograd.grad(plain, parameters, grad)
    ):
        assert torch.allclose(one, other, rtol=1e-7, atol=1e-9)


def test_float32_is_as_near_to_the_truth_as_the_plain_formula():
    source, target = random_boxes(60, 0, torch.float32), random_boxes(60, 1, torch.float32)
    relation = built(torch.float32)
    ours, plain = relation(source, target), reference(relation, source, target)
    truth = reference(built(), source.double(), target.double())
    assert (ours - truth).abs().max() < 2 * (plain - truth).abs().max()


def test_blocked_pairs_are_minus_infinity_and_give_no_gradient():
    relation, boxes = built(), random_boxes(6, 0)
    blocked = torch.zeros(6, 6, dtype=torch.bool)
    blocked[:2, 3:] = True
    bias = relation(boxes, attn_mask=blocked)
    assert torch.equal(bias.isinf(), blocked.expand_as(bias))
    assert torch.equal(bias[:, :, ~blocked], relation(boxes)[:, :, ~blocked])
    parameters = list(relation.parameters())
    open_pairs = ~blocked * torch.ones_like(bias)
    given = torch.autograd.grad(bias, parameters, torch.ones_like(bias))
    expected = torch.autograd.grad(reference(relation, boxes, boxes), parameters, open_pairs)
    assert all(torch.allclose(one, other) for one, other in zip(given, expected))


def test_boxes_get_no_gradient():
    boxes = random_boxes(4, 0).requires_grad_()
    built()(boxes).sum().backward()
    assert boxes.grad is None


def test_zero_projection_gives_no_bias():
    relation = built()
    torch.nn.init.zeros_(relation.pos_proj[0].weight)
    torch.nn.init.zeros_(relation.pos_proj[0].bias)
    assert not relation(random_boxes(5, 0)).any()


def test_no_queries_and_one_query():
    relation = built()
    assert relation(torch.rand(2, 0, 4, dtype=torch.float64)).shape == (2, 8, 0, 0)
    assert relation(torch.rand(0, 3, 4, dtype=torch.float64)).shape == (0, 8, 3, 3)
    assert relation(random_boxes(2, 0)[:, :1]).shape == (2, 8, 1, 1)


def test_only_boxes_and_result_are_kept_for_the_gradient():
    kept: list[torch.Tensor] = []
    source, target = random_boxes(40, 0), random_boxes(50, 1)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        bias = built()(source, target)
    assert sum(tensor.numel() for tensor in kept) <= bias.numel() + source.numel() + target.numel() + 8 * 64


def test_autocast_computes_in_float32_and_returns_the_lower_precision():
    relation, boxes = built(torch.float32), random_boxes(8, 0, torch.float32)
    exact = relation(boxes)
    with torch.autocast("cpu", torch.bfloat16):
        bias = relation(boxes)
        bias.sum().backward()
    assert bias.dtype == torch.bfloat16
    assert torch.equal(bias, exact.to(torch.bfloat16))
    assert relation.pos_proj[0].weight.grad.dtype == torch.float32


def test_compiled_equals_eager():
    relation, boxes = built(), random_boxes(6, 0)
    compiled = torch.compile(relation, backend="aot_eager", fullgraph=True)
    grads = [
        torch.autograd.grad(f(boxes).square().sum(), relation.pos_proj[0].weight)[0]
        for f in (relation, compiled)
    ]
    assert torch.allclose(compiled(boxes), relation(boxes))
    assert torch.allclose(*grads)


def test_function_and_module_agree():
    relation, boxes = built(), random_boxes(5, 0)
    projection = relation.pos_proj[0]
    assert torch.equal(
        relation(boxes), relation_bias(boxes, boxes, projection.weight.flatten(1), projection.bias)
    )


@pytest.mark.parametrize("embed_dims", [0, 7])
def test_odd_number_of_features_is_refused(embed_dims):
    with pytest.raises(ConfigError, match=f"embed_dims={embed_dims} is not an even number"):
        PositionRelation(embed_dims=embed_dims)
