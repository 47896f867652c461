"""Attention within a band: blocks against the whole table, forward and backward."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import banded as module
from dense3d.ops.banded import band_attention, band_attention_reference, band_mask


def rows(width: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(width)
    return [torch.randn(3, width, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize(
    ("width", "reach"), [(1, 1), (5, 1), (40, 10), (97, 3), (150, 40), (64, 64), (70, 99)]
)
def test_blocks_equal_the_whole_table(width, reach):
    ours, theirs = rows(width), rows(width)
    found = band_attention(*ours, reach)
    expected = band_attention_reference(*theirs, reach)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad)


def test_a_narrow_band_is_run_in_blocks(monkeypatch):
    """No table of all columns by all columns: queries meet the keys that one of them sees."""
    seen = []
    attend = module.F.scaled_dot_product_attention

    def record(query, key, value, **options):
        seen.append((query.shape[-2], key.shape[-2]))
        return attend(query, key, value, **options)

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", record)
    band_attention(*rows(300), 20)
    assert sum(queries for queries, _ in seen) == 300
    assert sum(queries * keys for queries, keys in seen) < 0.3 * 300**2
    assert max(keys for _, keys in seen) <= 32 + 2 * 19


def test_a_band_as_wide_as_the_row_has_no_mask(monkeypatch):
    query, key, value = rows(60)
    wanted = [band_attention_reference(query, key, value, reach) for reach in (60, 99)]
    monkeypatch.setattr(module, "_mask", None)  # a mask of a scene's voxels by its voxels fills the memory
    for reach, expected in zip((60, 99), wanted):
        torch.testing.assert_close(band_attention(query, key, value, reach), expected)


def test_columns_beyond_the_reach_do_not_count():
    query, key, value = rows(60)
    changed = value.detach().clone()
    changed[:, 30] += 100
    difference = (band_attention(query, key, changed, 7) - band_attention(query, key, value, 7)).abs()
    touched = difference.amax((0, 2)).nonzero().flatten().tolist()
    assert touched == list(range(24, 37))


def test_there_is_no_scale_unless_asked_for():
    query, key, value = rows(12)
    torch.testing.assert_close(
        band_attention(query, key, value, 5, scale=0.25), band_attention(0.25 * query, key, value, 5)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype):
    query, key, value = (x.detach().to(dtype) for x in rows(50, torch.float32))
    found = band_attention(query, key, value, 9)
    expected = band_attention_reference(query.double(), key.double(), value.double(), 9)
    assert found.dtype == dtype
    assert (found.double() - expected).abs().max() < 0.05


def test_a_reach_of_nothing_is_refused():
    with pytest.raises(DataError, match="a reach of at least 1 column, not 0"):
        band_mask(4, 0)
    with pytest.raises(DataError, match="not -2"):
        band_attention(*rows(4), -2)


def test_dropout_leaves_out_weights_and_keeps_the_mean():
    torch.manual_seed(0)
    query, key = torch.zeros(400, 40, 4), torch.zeros(400, 40, 4)
    found = band_attention(query, key, torch.ones(400, 40, 1), 6, dropout=0.5)
    assert found.std() > 0.1  # without dropout all are 1
    assert found.mean().item() == pytest.approx(1, abs=0.02)
