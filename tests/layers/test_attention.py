"""Attention beside its definition: fused kernels, bias variants, windows, relative positions."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention, WindowAttention, from_windows, to_windows
from dense3d.layers.relative_position import RelativePositionBias


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomised(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.eval()


def by_definition(attention: SelfAttention, tokens: torch.Tensor, bias=0.0) -> torch.Tensor:
    """softmax(q k^T / sqrt(d) + bias) v, head by head."""
    dim = tokens.shape[-1]
    query, key, value = (tokens @ attention.qkv.weight.t()).split(dim, dim=-1)
    if attention.q_bias is not None:
        query, value = query + attention.q_bias, value + attention.v_bias
    elif attention.qkv.bias is not None:
        query, key, value = (x + b for x, b in zip((query, key, value), attention.qkv.bias.split(dim)))
    size, outputs = dim // attention.num_heads, []
    for head in range(attention.num_heads):
        part = slice(head * size, (head + 1) * size)
        logits = query[..., part] @ key[..., part].transpose(1, 2) / size**0.5
        logits = logits + (bias[head] if isinstance(bias, torch.Tensor) else bias)
        outputs.append(logits.softmax(-1) @ value[..., part])
    return attention.proj(torch.cat(outputs, -1))


@pytest.mark.parametrize("qkv_bias", ["full", "query_value", "none"])
def test_equals_the_definition(qkv_bias):
    attention = randomised(SelfAttention(12, 3, qkv_bias))
    tokens = torch.randn(2, 7, 12)
    torch.testing.assert_close(attention(tokens), by_definition(attention, tokens))


def test_relative_bias_is_added_unscaled():
    attention = randomised(SelfAttention(12, 3, relative_bias=RelativePositionBias((2, 3), 3, num_prefix=1)))
    tokens = torch.randn(2, 7, 12)
    expected = by_definition(attention, tokens, attention.relative_bias((2, 3)))
    torch.testing.assert_close(attention(tokens, (2, 3), 1), expected)


@pytest.mark.parametrize("num_prefix", [0, 3])
@pytest.mark.parametrize("padding", ["mask", "zero", "bias"])
def test_a_window_of_the_size_of_the_image_is_global_attention(num_prefix, padding):
    window = randomised(WindowAttention(12, 3, window_size=5, padding=padding))
    everywhere = SelfAttention(12, 3)
    everywhere.load_state_dict(window.state_dict())
    tokens = torch.randn(2, num_prefix + 25, 12)
    torch.testing.assert_close(window(tokens, (5, 5), num_prefix), everywhere(tokens))


@pytest.mark.parametrize("num_prefix", [0, 2])
def test_a_masked_window_larger_than_the_image_is_global_attention(num_prefix):
    window = randomised(WindowAttention(12, 3, window_size=8))
    everywhere = SelfAttention(12, 3)
    everywhere.load_state_dict(window.state_dict())
    tokens = torch.randn(2, num_prefix + 15, 12)
    torch.testing.assert_close(window(tokens, (3, 5), num_prefix), everywhere(tokens))


def test_relative_bias_in_a_masked_window_larger_than_the_image():
    window = WindowAttention(
        12, 3, relative_bias=RelativePositionBias((4, 4), 3, num_prefix=1), window_size=4
    )
    randomised(window)
    tokens = torch.randn(2, 1 + 12, 12)
    whole = window.relative_bias((4, 4))  # rows 0..2 of the window hold the 3 x 4 grid
    bias = whole[:, :13, :13]
    torch.testing.assert_close(window(tokens, (3, 4), 1), by_definition(window, tokens, bias))


def test_patches_see_their_own_window_and_the_prefix_only():
    attention = randomised(WindowAttention(12, 3, window_size=2))
    tokens = torch.randn(1, 1 + 16, 12)
    before = attention(tokens, (4, 4), 1)
    changed = tokens.clone()
    changed[:, 1 + 15] += 1  # lower right window: rows 2, 3 and columns 2, 3
    touched = (attention(changed, (4, 4), 1) - before).abs().amax(-1)[0] > 0
    inside = [1 + r * 4 + c for r in (2, 3) for c in (2, 3)]
    assert [i for i, t in enumerate(touched) if t] == [0, *inside]
    changed = tokens.clone()
    changed[:, 0] += 1
    assert bool(((attention(changed, (4, 4), 1) - before).abs().amax(-1) > 0).all())


@pytest.mark.parametrize("padding", ["zero", "bias"])
def test_padding_takes_part_in_the_softmax(padding):
    attention = randomised(WindowAttention(4, 1, window_size=2, padding=padding))
    token = torch.randn(1, 1, 4)
    query, key, value = (token[0, 0] @ attention.qkv.weight.t() + attention.qkv.bias).split(4)
    empty_key, empty_value = torch.zeros(4), torch.zeros(4)
    if padding == "bias":
        _, empty_key, empty_value = attention.qkv.bias.split(4)
    logits = torch.stack([query @ key, *[query @ empty_key] * 3]) / 2
    expected = logits.softmax(0) @ torch.stack([value, *[empty_value] * 3])
    torch.testing.assert_close(attention(token, (1, 1))[0, 0], attention.proj(expected))


def test_windows_round_trip_at_sizes_that_do_not_fit():
    x = torch.randn(2, 3, 5 * 7, 4)
    windows = to_windows(x, (5, 7), 3)
    assert windows.shape == (2 * 2 * 3, 3, 9, 4)
    torch.testing.assert_close(from_windows(windows, (5, 7), 3), x)


def test_bad_arguments_are_explained():
    with pytest.raises(ConfigError, match="10 channels cannot be shared by 3 heads"):
        SelfAttention(10, 3)
    with pytest.raises(ConfigError, match=r"qkv_bias='key'.*'query_value'"):
        SelfAttention(9, 3, qkv_bias="key")
    with pytest.raises(ConfigError, match=r"padding='zeros'.*'zero'"):
        WindowAttention(9, 3, window_size=2, padding="zeros")
