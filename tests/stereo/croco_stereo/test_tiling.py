"""Tiles: where they lie, what they weigh, how they are merged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.stereo.croco_stereo import (
    Tiles,
    TileWeight,
    covering_size,
    resize_displacements,
    tile_starts,
)


def test_starts_are_evenly_spaced_and_cover_everything():
    random = np.random.default_rng(0)
    for _ in range(300):
        window, more = int(random.integers(16, 800)), int(random.integers(0, 2000))
        overlap = float(random.choice([0, 0.3, 0.5, 0.7, 0.9, 0.99]))
        count = 1 + int(np.ceil(more / ((1 - overlap) * window)))
        starts = tile_starts(window + more, window, overlap)
        assert starts == np.linspace(0, more, count).round().astype(int).tolist()
        assert max(np.diff(starts), default=0) <= window


def test_weights_by_hand():
    raw = torch.tensor([-3.0, 0.0, 1.5])
    for mode, expected in {
        "conf_expsigmoid_15_3": np.exp(-30 * (1 / (1 + np.exp(-raw.numpy() / 3)) - 0.5)),
        "conf_expbeta2.5": np.exp(-2.5 * raw.numpy()),
    }.items():
        np.testing.assert_allclose(TileWeight(mode)(raw.bfloat16()).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "mode", ["conf_expsigmoid_15", "conf_exp", "expbeta3", "conf_expsigmoid_15_0", None, 3]
)
def test_other_weights_are_refused(mode):
    with pytest.raises(ConfigError, match="conf_expsigmoid_15_3"):
        TileWeight(mode)


def test_what_all_tiles_agree_on_comes_back():
    """Each tile gives a pixel of its own input, so any weights have the image as their mean."""
    left = torch.randn(2, 3, 50, 91, generator=torch.Generator().manual_seed(0))
    raw = torch.rand(2, 1, 50, 91, generator=torch.Generator().manual_seed(1)) * 6 - 3

    def network(left_part, right_part):
        return left_part[:, :2], right_part[:, :1]

    tiles = Tiles((32, 48), 0.6, TileWeight("conf_expbeta3"), batch_size=4)
    values, merged = tiles(network, left, raw.expand(-1, 3, -1, -1))
    torch.testing.assert_close(values, left[:, :2])
    torch.testing.assert_close(merged, raw)


def test_the_weighted_mean_in_double_precision():
    generator = torch.Generator().manual_seed(0)
    count, size, tile = 2, (40, 70), (32, 32)
    outputs = iter(list(4 * torch.randn(30, 3, *tile, generator=generator)))
    given = []

    def network(left_part, _right_part):
        given.extend(next(outputs) for _ in left_part)
        latest = torch.stack(given[-len(left_part) :])
        return latest[:, :2], latest[:, 2:]

    tiles = Tiles(tile, 0.5, TileWeight("conf_expsigmoid_10_5"), batch_size=5)
    images = torch.zeros(count, 3, *size)
    steps = []
    tiles = Tiles(tile, 0.5, tiles.weight, 5, progress=lambda done, total: steps.append((done, total)))
    values, raw = tiles(network, images, images)
    totals, weights = np.zeros((count, 3, *size)), np.zeros((count, 1, *size))
    places = [(i, y, x) for i in range(count) for y in (0, 8) for x in (0, 13, 25, 38)]
    assert tiles.windows(count, size) == places
    for (i, y, x), output in zip(places, np.asarray(torch.stack(given), dtype=np.float64)):
        weight = np.exp(-20 * (1 / (1 + np.exp(-output[2:] / 5)) - 0.5))
        totals[i, :, y : y + 32, x : x + 32] += weight * output
        weights[i, :, y : y + 32, x : x + 32] += weight
    expected = totals / weights
    np.testing.assert_allclose(values, expected[:, :2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(raw, expected[:, 2:], rtol=1e-4, atol=1e-4)
    assert steps[0] == (5, 16)
    assert steps[-1] == (16, 16)


@pytest.mark.parametrize("size", [(300, 1242), (370, 600), (100, 100), (20, 900), (1, 1)])
def test_small_images_are_covered_without_distortion(size):
    tile = (352, 704)
    scaled = covering_size(size, tile)
    assert scaled[0] >= tile[0]
    assert scaled[1] >= tile[1]
    assert scaled[0] == tile[0] or scaled[1] == tile[1]
    assert abs(scaled[0] / size[0] - scaled[1] / size[1]) <= 0.5 / min(size)


def test_the_official_rule_divides_by_the_width():
    assert covering_size((400, 800), (352, 704), "official") == (400, 800)
    assert covering_size((200, 1000), (128, 1216), "official") == (243, 1216)
    with pytest.raises(DataError, match="cover"):
        covering_size((300, 1242), (352, 704), "official")
    with pytest.raises(ConfigError, match="small_images"):
        covering_size((300, 1242), (352, 704), "bicubic")


def test_displacements_scale_with_the_image():
    flow = torch.tensor([6.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 20, 60)
    smaller = resize_displacements(flow, (5, 30))
    assert smaller.shape == (1, 2, 5, 30)
    torch.testing.assert_close(smaller[0, :, 2, 7], torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(resize_displacements(flow[:, :1], (40, 30))[0, 0, 3, 3], torch.tensor(3.0))


def test_wrong_overlaps_and_too_small_images_are_refused():
    with pytest.raises(ConfigError, match="overlap"):
        tile_starts(100, 32, 1.0)
    with pytest.raises(DataError, match="does not fit"):
        tile_starts(20, 32, 0.5)
