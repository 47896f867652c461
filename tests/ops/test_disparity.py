"""Disparity maps: resized, warped, checked and filled, against loops and closed forms."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import fill_from_left, left_right_check, resize_disparity, warp_by_disparity

INF = float("inf")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_resizing_a_plane_keeps_the_geometry():
    """Disparity linear in the column stays so; its slope a pixel is the same at every size."""
    columns = torch.arange(32, dtype=torch.float64) + 0.5
    disparity = (0.25 * columns).expand(2, 1, 12, 32)
    for width in (16, 64, 48):
        resized = resize_disparity(disparity, (6, width))
        expected = 0.25 * (torch.arange(width, dtype=torch.float64) + 0.5)
        inner = slice(width // 16, -(width // 16))  # at the border the nearest pixel is repeated
        assert torch.allclose(resized[..., inner], expected[inner].expand(2, 1, 6, -1))


def test_resizing_does_not_spread_what_is_not_known():
    disparity = torch.full((1, 4, 8), 4.0)
    disparity[0, 1, 2], disparity[0, 0, 7] = INF, float("nan")
    resized = resize_disparity(disparity, (8, 16))
    known = torch.isfinite(resized)
    assert (resized[known] == 8.0).all() and not torch.isnan(resized).any()
    assert not known[0, 2:4, 4:6].any() and known[0, 6:].all()
    assert resize_disparity(disparity, (4, 8)) is disparity


def test_resizing_differentiates():
    disparity = torch.rand(1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize_disparity(x, (5, 7)), disparity)


def test_warping_is_grid_sample_with_corners_aligned(generator):
    """torch's own sampler as the oracle, on pixels that lie inside."""
    image = torch.rand(2, 3, 6, 20, generator=generator, dtype=torch.float64)
    disparity = 8 * torch.rand(2, 6, 20, generator=generator, dtype=torch.float64)
    warped = warp_by_disparity(image, disparity)
    x = torch.arange(20, dtype=torch.float64) - disparity
    y = torch.arange(6, dtype=torch.float64)[:, None].expand(2, 6, 20)
    grid = torch.stack((2 * x / 19 - 1, 2 * y / 5 - 1), -1)
    expected = torch.nn.functional.grid_sample(image, grid, align_corners=True, padding_mode="border")
    inside = (x >= 0)[:, None].expand_as(warped)
    assert torch.allclose(warped[inside], expected[inside])
    assert (warped[~inside] == 0).all() and (~inside).any()
    border = warp_by_disparity(image, disparity[:, None], outside=None)
    assert torch.allclose(border, expected)


def test_warping_differentiates_in_both(generator):
    image = torch.rand(1, 2, 3, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    disparity = 2 * torch.rand(1, 3, 7, generator=generator, dtype=torch.float64) + 0.01
    assert torch.autograd.gradcheck(warp_by_disparity, (image, disparity.requires_grad_()))


def test_warping_one_column_and_unknown_pixels():
    image = torch.ones(1, 2, 1)
    assert warp_by_disparity(image, torch.tensor([[0.0], [INF]])).tolist() == [[[1.0], [0.0]]]


def test_left_right_check_against_a_loop(generator):
    left = 6 * torch.rand(2, 5, 16, generator=generator)
    right = 6 * torch.rand(2, 5, 16, generator=generator)
    left[0, 0, 3], right[1, 2, 5] = INF, INF
    occluded = left_right_check(left, right, threshold=1.5)
    for place in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(16)).tolist():
        image, row, column = place
        value = left[image, row, column]
        match = round(float(column - value)) if torch.isfinite(value) else -1
        visible = 0 <= match < 16 and abs(right[image, row, match] - value) <= 1.5
        assert occluded[image, row, column] == (not visible)


def test_filling_against_a_loop(generator):
    disparity = torch.rand(3, 12, 15, generator=generator)
    disparity[torch.rand(disparity.shape, generator=generator) < 0.6] = INF
    disparity[:, 4:6] = INF
    disparity[0, 0] = disparity[1, -1] = INF
    disparity[2] = INF
    for rule in ("left", "smaller"):
        filled = fill_from_left(disparity, rule=rule)
        expected = torch.stack([filled_by_loop(image, rule) for image in disparity])
        assert torch.equal(filled, expected)


def filled_by_loop(image: torch.Tensor, rule: str) -> torch.Tensor:
    rows = []
    for row in image.tolist():
        known = [column for column, value in enumerate(row) if value < INF]
        new = list(row)
        for column, value in enumerate(row):
            if known and value == INF:
                left = [row[other] for other in known if other < column][-1:]
                right = [row[other] for other in known if other > column][:1]
                new[column] = min(left + right) if rule == "smaller" else (left + right)[0]
        rows.append(new)
    whole = [index for index, row in enumerate(rows) if INF not in row]
    for index, row in enumerate(rows):
        if whole and INF in row:
            above = [other for other in whole if other < index]
            rows[index] = rows[above[-1] if above else whole[0]]
    return torch.tensor(rows)


def test_filling_with_a_mask():
    row = torch.tensor([[9.0, 5.0, 9.0, 3.0]])
    known = torch.tensor([[False, True, False, True]])
    assert fill_from_left(row, known).tolist() == [[5.0, 5.0, 5.0, 3.0]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: resize_disparity(torch.ones(3), (2, 2)),
        lambda: resize_disparity(torch.ones(3, 4, dtype=torch.int64), (2, 2)),
        lambda: resize_disparity(torch.ones(3, 4), (0, 2)),
        lambda: warp_by_disparity(torch.ones(3, 4, 5), torch.ones(4, 6)),
        lambda: left_right_check(torch.ones(4, 5), torch.ones(5, 4)),
        lambda: fill_from_left(torch.ones(4, 5), rule="right"),
        lambda: fill_from_left(torch.ones(4, 5), torch.ones(4, 4, dtype=torch.bool)),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(DataError):
        call()
