"""The bilateral solver beside dictionaries of cells and dense matrices, and what its result must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from dense3d.errors import ConfigError
from dense3d.transfer_function.bilateral import (
    DIMENSIONS,
    YUV,
    YUV_OFFSET,
    BilateralGrid,
    GridSizes,
    SolverOptions,
    gradient_confidence,
)
from dense3d.transfer_function.refinement import (
    OFFLINE,
    RefinementOptions,
    Refiner,
    crop_bounds,
    dilated,
    min_max,
    refined_shape,
    stretched,
)


def reference(shape=(9, 7, 5), colours: int = 1) -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 256, (colours, *shape)).astype(np.uint8)
    return values[0] if colours == 1 else values


def dense_blur(reference: np.ndarray, sizes: GridSizes) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each voxel, in the order in which cells are met, and the dense matrix B."""
    rgb = reference if reference.ndim == 4 else np.stack([reference] * 3)
    yuv = np.moveaxis(rgb, 0, -1).astype(float) @ YUV.T + YUV_OFFSET
    cells: dict[tuple, int] = {}
    vertex = []
    for place in np.ndindex(rgb.shape[1:]):
        y, u, v = yuv[place]
        where = tuple(int(i / sizes.spatial) for i in place)
        cell = (*where, int(y / sizes.luma), int(u / sizes.chroma), int(v / sizes.chroma))
        vertex.append(cells.setdefault(cell, len(cells)))
    blur = 2 * DIMENSIONS * np.eye(len(cells))
    for cell, row in cells.items():
        for axis in range(DIMENSIONS):
            for step in (-1, 1):
                other = (*cell[:axis], cell[axis] + step, *cell[axis + 1 :])
                if other in cells:
                    blur[row, cells[other]] = 1
    return np.array(vertex), blur


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("sizes", [GridSizes(3, 40, 40), GridSizes(2.5, 17, 64), GridSizes(50, 300, 300)])
def test_grid_and_exact_solution_are_those_of_dense_matrices(sizes, colours):
    image = reference(colours=colours)
    vertex, blur = dense_blur(image, sizes)
    grid = BilateralGrid(image, sizes)
    assert len(grid.counts) == len(blur)
    order = np.zeros(len(blur), int)  # ours -> theirs
    order[grid.vertex] = vertex
    dense = np.diag(np.full(len(blur), 12.0)) + grid.neighbours.toarray()
    np.testing.assert_array_equal(dense, blur[np.ix_(order, order)])

    counts = np.bincount(vertex)
    n = np.ones(len(blur))
    for _ in range(10):
        n = np.sqrt(n * counts / (blur @ n))
    m = n * (blur @ n)
    generator = np.random.default_rng(2)
    target, weight = generator.random(image.shape[-3:]), generator.random(image.shape[-3:])
    system = 64 * (np.diag(m) - np.diag(n) @ blur @ np.diag(n))
    system += np.diag(np.bincount(vertex, weight.ravel()))
    expected = np.linalg.solve(system, np.bincount(vertex, (target * weight).ravel()))[vertex]
    found = grid.solve(target, weight, SolverOptions(lam=64, exact=True))
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-9)
    many = grid.solve(target, weight, SolverOptions(lam=64, iterations=5000, tolerance=1e-12))
    np.testing.assert_allclose(many, found, atol=1e-6)


def test_cells_without_a_table_of_all_places(monkeypatch):
    image, target = reference(), np.random.default_rng(2).random((9, 7, 5))
    expected = BilateralGrid(image, GridSizes(3, 40, 40)).solve(target, 0.9)
    monkeypatch.setattr("dense3d.transfer_function.bilateral.DENSE", 0)
    np.testing.assert_allclose(BilateralGrid(image, GridSizes(3, 40, 40)).solve(target, 0.9), expected)


def test_grey_is_equal_colours():
    image = reference()
    target = np.random.default_rng(2).random(image.shape)
    grey, colour = (BilateralGrid(r, GridSizes(3, 20, 20)) for r in (image, np.stack([image] * 3)))
    np.testing.assert_array_equal(grey.solve(target, 0.9), colour.solve(target, 0.9))


def test_a_constant_target_stays_and_a_step_is_kept():
    image = np.zeros((12, 8, 8), np.uint8)
    image[6:] = 200
    grid = BilateralGrid(image, GridSizes(4, 10, 10))
    np.testing.assert_allclose(grid.solve(np.full(image.shape, 0.7), 0.9), 0.7)
    noise = np.random.default_rng(0).random(image.shape)
    smooth = grid.solve(np.where(image > 0, 0.9, 0.1) + 0.4 * (noise - 0.5), 0.9, SolverOptions(exact=True))
    assert smooth[:6].std() < 0.02 and smooth[6:].std() < 0.02
    assert smooth[6:].min() - smooth[:6].max() > 0.7


def test_cells_without_confidence_take_their_neighbours_value():
    image = reference((6, 6, 6))
    confidence = np.ones(image.shape)
    confidence[0] = 0
    found = BilateralGrid(image, GridSizes(1, 300, 300)).solve(np.ones(image.shape), confidence)
    assert found[0].min() > 0.5
    assert found[1:].min() > 0.5
    official = SolverOptions(official_start=True)
    grid = BilateralGrid(image, GridSizes(1, 300, 300))
    assert not grid.solve(np.ones(image.shape), confidence, official).any()
    np.testing.assert_array_equal(grid.solve(image, 0.9, official), grid.solve(image, 0.9))


def test_confidence_is_low_at_edges():
    image = np.zeros((8, 8, 8), np.uint8)
    image[4:] = 255
    found = gradient_confidence(image)
    padded = np.pad(image / 255.0, 1)
    gradient = [ndimage.correlate1d(padded, [-0.5, 0, 0.5], axis)[1:-1, 1:-1, 1:-1] for axis in range(3)]
    length = np.sqrt(np.sum(np.square(gradient), 0))
    np.testing.assert_allclose(found, length.max() - length, atol=1e-6)
    assert found[3, 4, 4] < found[1, 4, 4]


@pytest.mark.parametrize("pad", [0, 2, 50])
@pytest.mark.parametrize("threshold", [0.5, 0.99, 2.0])
def test_boxes(pad, threshold):
    values = torch.rand(9, 6, 7, generator=torch.Generator().manual_seed(0))
    low, high = crop_bounds(values, threshold, pad).tolist()
    places = np.argwhere(values.numpy() > threshold)
    if len(places):
        assert low == np.maximum(places.min(0) - pad, 0).tolist()
        assert high == np.minimum(places.max(0) + 1 + pad, values.shape).tolist()
    else:
        assert (low, high) == ([0, 0, 0], [9, 6, 7])


@pytest.mark.parametrize("size", [1, 3, 7])
def test_dilation_is_that_of_a_cube(size):
    mask = np.random.default_rng(0).random((9, 4, 6)) > 0.97
    expected = ndimage.binary_dilation(mask, np.ones((size,) * 3))
    np.testing.assert_array_equal(dilated(torch.from_numpy(mask), size).numpy(), expected)


def test_contrast_and_range():
    values = torch.tensor([0.0, 0.3, 0.4, 0.5, 1.0])
    assert stretched(values, 0.4, 6.0).tolist() == pytest.approx([0, 0, 0.4, 1.0, 1])
    assert min_max(torch.tensor([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert min_max(torch.full((3,), 7.0)).tolist() == [0, 0, 0]


def test_a_coarse_map_is_refined_to_the_edges_of_the_volume():
    """A ball of 200 among 50; the map is a box of a cell more on each side."""
    axes = np.ogrid[:32, :32, :32]
    ball = sum((a - 15.5) ** 2 for a in axes) < 9**2
    volume = np.where(ball, 200, 50).astype(np.int16)
    coarse = torch.zeros(8, 8, 8)
    coarse[1:7, 1:7, 1:7] = 0.3
    coarse[2:6, 2:6, 2:6] = 1.0
    options = RefinementOptions(downscale=1, sizes=GridSizes(4, 5, 5))
    refined = Refiner(volume, options)(coarse, torch.tensor([[15, 15, 15]]), 0.4).numpy()
    plain = torch.nn.functional.interpolate(coarse[None, None], (32, 32, 32), mode="trilinear")[0, 0].numpy()

    def overlap(mask: np.ndarray) -> float:
        return 2 * (mask & ball).sum() / (mask.sum() + ball.sum())

    best = max(overlap(plain > t) for t in np.linspace(0.1, 0.95, 18))
    assert max(overlap(refined > t) for t in np.linspace(10, 250, 25)) > max(0.97, best + 0.02)
    assert refined.max() == 255 and refined.dtype == np.float32


def test_references_of_one_two_and_more_channels():
    volume = np.random.default_rng(0).random((4, 6, 6, 6))
    voxels, coarse = (
        torch.tensor([[3, 3, 3]]),
        torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(0)),
    )
    options = RefinementOptions(downscale=1, contrast=None, threshold=0.1)
    for count, shape in ((1, (1, 6, 6, 6)), (2, (2, 6, 6, 6)), (4, (1, 3, 6, 6, 6))):
        refiner = Refiner(volume[:count], options)
        references = refiner.references(voxels)
        assert references.shape == shape
        expected = (255 * min_max(torch.from_numpy(volume[:count].astype(np.float32)))).to(torch.uint8)
        np.testing.assert_array_equal(references.reshape(-1, 6, 6, 6), expected[:3])
        assert refiner(coarse, voxels, 0.4).max() == 255
    two = Refiner(volume[:2], options)
    alone = [Refiner(volume[:2][[i, 1 - i]], options)({0: coarse}, voxels, 0.4) for i in range(2)]
    both = two({0: coarse, 1: coarse}, voxels, 0.4, (0.5, 0.5))
    assert (both != alone[0]).any() and (both != alone[1]).any()


def test_the_batch_evaluations_refinement(monkeypatch):
    """No contrast, a fixed threshold, confidence by gradients, nothing cut off."""
    volume = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    coarse = torch.zeros(4, 4, 4)
    coarse[1, 1, 1] = 0.9
    found = Refiner(volume, OFFLINE)(coarse, torch.tensor([[3, 3, 3]]), 0.4)
    small = torch.nn.functional.interpolate(torch.from_numpy(volume)[None, None], (4, 4, 4), mode="trilinear")
    grey = (255 * min_max(small[0, 0])).to(torch.uint8).numpy()
    solved = BilateralGrid(grey, OFFLINE.sizes).solve(coarse.numpy(), gradient_confidence(grey))
    np.testing.assert_allclose(found, np.clip(255 / (0.99 * solved.max()) * solved, 0, 255), atol=1e-3)


def test_refined_maps_of_nothing_are_zero():
    volume = np.random.default_rng(0).random((8, 8, 8))
    refiner = Refiner(volume, RefinementOptions(downscale=2))
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert not refiner(torch.rand(3, 3, 3), none, 0.4).any()
    assert not refiner(torch.zeros(3, 3, 3), torch.tensor([[1, 1, 1]]), 0.4).any()
    assert refined_shape((5, 3, 1), 4) == (1, 1, 1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GridSizes(spatial=0), "cells have a size above 0"),
        (lambda: RefinementOptions(downscale=0.5), "downscale is at least 1"),
        (lambda: RefinementOptions(dilation=4), "dilation odd"),
    ],
)
def test_options_out_of_range(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()
