"""Attention with a bias: a bias that learns and one that does not give the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.layers.attention import SHORT, biased_attention


def heads(tokens: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 4, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("shape", [(2, 3, 5, 5), (1, 3, 5, 5), (1, 1, 1, 5)])
def test_values_and_gradients_are_those_of_the_fused_kernel(shape, scale):
    """The gradients are those of the definition in double precision."""
    results = []
    for function, dtype in ((biased_attention, torch.float32), (definition, torch.float64)):
        query, key, value = (x.to(dtype).requires_grad_() for x in heads())
        bias = torch.randn(shape, generator=torch.Generator().manual_seed(9)).to(dtype).requires_grad_()
        out = function(query, key, value, bias, scale=scale)
        out.square().sum().backward()
        results.append([x.float() for x in (out, query.grad, key.grad, value.grad, bias.grad)])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
    fused = F.scaled_dot_product_attention(*heads(), attn_mask=bias.detach().float(), scale=scale)
    torch.testing.assert_close(results[0][0], fused, rtol=1e-4, atol=1e-5)


def definition(query, key, value, bias, scale):
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return (scale * torch.einsum("bhqc,bhkc->bhqk", query, key) + bias).softmax(-1) @ value


@pytest.mark.parametrize("tokens", [5, SHORT + 1])
def test_keys_that_a_bias_blocks_take_no_part(tokens):
    query, key, value = heads(tokens=tokens)
    bias = torch.zeros(1, 3, tokens, tokens)
    bias[..., 3:] = -torch.inf
    expected = F.scaled_dot_product_attention(query, key[..., :3, :], value[..., :3, :])
    for learns in (False, True):
        found = biased_attention(query, key, value, bias.clone().requires_grad_(learns))
        torch.testing.assert_close(found, expected)
    mask = (bias == 0).expand(2, 3, tokens, tokens)
    torch.testing.assert_close(biased_attention(query, key, value, mask), expected)


def test_dropout_keeps_the_mean():
    query, key, value = heads()
    torch.manual_seed(0)
    bias = torch.zeros(1, 1, 5, 5, requires_grad=True)
    dropped = torch.stack([biased_attention(query, key, value, bias, dropout=0.5) for _ in range(4000)])
    assert dropped[0].ne(dropped[1]).any()
    expected = biased_attention(query, key, value, bias)
    error = (dropped.mean(0) - expected).abs() / (dropped.std(0) / 4000**0.5)
    assert error.max() < 5  # standard errors of the mean


def test_under_autocast_it_is_half_precision():
    query, key, value = heads()
    bias = torch.randn(1, 3, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = biased_attention(query, key, value, bias)
    assert found.dtype == torch.bfloat16
    expected = biased_attention(query, key, value, bias)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
