"""Attention inside rows, inside columns and over whole maps, beside its definition."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.layers import decay_attention
from dense3d.layers.decay_attention import (
    DecayAttention,
    column_attention,
    flat_rotation,
    row_attention,
    whole_attention,
)
from dense3d.layers.rotary import rotate


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return [torch.randn(2, 4, 5, 3, 6, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def softmax_attention(query, key, value, mask):
    """Of tokens ``(N, d)``."""
    return (query @ key.t() / query.shape[-1] ** 0.5 + mask).softmax(-1) @ value


def test_rows_and_columns_attend_to_themselves(heads):
    query, key, value = heads
    across, down = torch.randn(2, 4, 3, 5, 5).double(), torch.randn(3, 4, 4).double()
    rows = row_attention(query, key, value, across)
    columns = column_attention(query, key, value, down)
    for b in range(2):
        for head in range(3):
            parts = [part[b, :, :, head] for part in heads]
            for y in range(4):
                expected = softmax_attention(*(part[y] for part in parts), across[b, y, head])
                torch.testing.assert_close(rows[b, y, :, head], expected)
            for x in range(5):
                expected = softmax_attention(*(part[:, x] for part in parts), down[head])
                torch.testing.assert_close(columns[b, :, x, head], expected)


@pytest.mark.parametrize("most", [2**26, 3 * 20 * 5 * 2, 1])
def test_groups_of_rows_change_nothing(heads, most, monkeypatch):
    mask = torch.randn(2, 3, 20, 20, dtype=torch.float64, requires_grad=True)
    asked = []

    def mask_of(rows, dtype):
        asked.append(rows.stop - rows.start)
        return mask[:, :, rows.start * 5 : rows.stop * 5]

    monkeypatch.setattr(decay_attention, "MOST_LOGITS", most)
    out = whole_attention(*heads, mask_of)
    assert asked == {2**26: [4], 600: [2, 2], 1: [1, 1, 1, 1]}[most]
    for b in range(2):
        for head in range(3):
            parts = [part[b, :, :, head].flatten(0, 1) for part in heads]
            expected = softmax_attention(*parts, mask[b, head])
            torch.testing.assert_close(out[b, :, :, head].flatten(0, 1), expected)
    grads = torch.autograd.grad(out.square().sum(), [*heads, mask])
    monkeypatch.setattr(decay_attention, "MOST_LOGITS", 2**26)
    whole = whole_attention(*heads, mask_of)
    for found, expected in zip(grads, torch.autograd.grad(whole.square().sum(), [*heads, mask])):
        torch.testing.assert_close(found, expected)


def test_groups_are_recomputed_in_the_backward_pass_only(heads, monkeypatch):
    monkeypatch.setattr(decay_attention, "MOST_LOGITS", 1)
    asked = []

    def mask_of(rows, dtype):
        asked.append(rows.start)
        return torch.zeros(1, 1, 5, 20, dtype=dtype)

    with torch.no_grad():
        whole_attention(*heads, mask_of)
    assert asked == [0, 1, 2, 3]
    whole_attention(*heads, mask_of).sum().backward()
    assert sorted(asked) == sorted([0, 1, 2, 3] * 3)


def test_products_of_turned_tokens_depend_on_the_difference_of_their_indices():
    torch.manual_seed(0)
    sin, cos = flat_rotation((3, 4), 8)
    query, key = torch.randn(8), torch.randn(8)
    queries, keys = (rotate(x.expand(1, 12, 1, 8), (sin, cos))[0, :, 0] for x in (query, key))
    products = queries @ keys.t()
    for offset in range(-11, 12):
        diagonal = products.diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-5)


def test_angles_run_from_one_to_a_ten_thousandth():
    sin, _ = flat_rotation((1, 2), 6)
    torch.testing.assert_close(sin[1, 0].asin(), torch.tensor([1, 1e-2, 1e-4] * 2))


def test_heads_that_do_not_fit_are_refused():
    for dim, heads in ((8, 3), (6, 2), (8, 0)):
        with pytest.raises(ConfigError, match=f"{dim} channels cannot be shared by {heads} heads"):
            DecayAttention(dim, heads)
