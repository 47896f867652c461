"""The walker on supervoxels against dense solves."""

import numpy as np
import pytest

from dense3d.transfer_function.graph.walker import Walker


def test_walker_solves_the_linear_system():
    rng = np.random.default_rng(0)
    pairs = np.array(
        [(i, j) for i in range(12) for j in range(i + 1, 12) if rng.random() < 0.4 or j == i + 1]
    )
    weights, pull = rng.uniform(0.1, 2, len(pairs)), 0.05
    held = np.zeros((12, 2), bool)
    held[[0, 7], 0] = held[[3, 7], 1] = True
    values, prior = rng.random((12, 2)), rng.random((12, 2))

    laplacian = np.zeros((12, 12))
    for (i, j), w in zip(pairs, weights):
        laplacian[[i, j], [i, j]] += w
        laplacian[[i, j], [j, i]] -= w
    matrix = laplacian + pull * np.eye(12)
    expected = values.copy()
    for c in range(2):
        free = ~held[:, c]
        right = pull * prior[free, c] - matrix[np.ix_(free, ~free)] @ values[~free, c]
        expected[free, c] = np.linalg.solve(matrix[np.ix_(free, free)], right)

    actual = Walker(pairs, weights, 12).solve(held, values, prior, pull)
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_chain_with_ends_held_is_linear_in_resistance():
    weights = np.array([1.0, 0.5, 2.0])
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    held, values = np.array([[True], [False], [False], [True]]), np.array([[0.0], [0], [0], [1]])
    x = Walker(pairs, weights, 4).solve(held, values, np.zeros((4, 1)), 1e-9)
    resistance = np.concatenate([[0], np.cumsum(1 / weights)])
    np.testing.assert_allclose(x[:, 0], resistance / resistance[-1], atol=1e-3)


def test_voxels_as_nodes_give_the_walker_of_scikit_image():
    segmentation = pytest.importorskip("skimage.segmentation")
    data = np.random.default_rng(0).random((6, 5, 4))
    seeds = np.zeros(data.shape, int)
    seeds[0, 0, 0], seeds[5, 4, 3], seeds[5, 0, 0] = 1, 2, 3
    expected = segmentation.random_walker(data, seeds, beta=50, mode="bf", return_full_prob=True)

    index, pairs, steps = np.arange(data.size).reshape(data.shape), [], []
    for axis in range(3):
        nodes, values = np.moveaxis(index, axis, 0), np.moveaxis(data, axis, 0)
        pairs.append(np.stack([nodes[:-1].ravel(), nodes[1:].ravel()], axis=1))
        steps.append((values[1:] - values[:-1]).ravel())
    weights = np.exp(-50 / (10 * data.std()) * np.concatenate(steps) ** 2)
    values = seeds.reshape(-1, 1) == np.arange(1, 4)
    held = np.repeat(seeds.reshape(-1, 1) > 0, 3, axis=1)
    walker = Walker(np.concatenate(pairs), weights, data.size)
    found = walker.solve(held, values, np.zeros(held.shape), pull=1e-9, tolerance=1e-8)
    np.testing.assert_allclose(found.T.reshape(expected.shape), expected, atol=2e-3)


def test_a_strong_pull_gives_the_prior():
    prior = np.random.default_rng(0).random((3, 2))
    walker = Walker(np.array([[0, 1], [1, 2]]), np.array([1.0, 1.0]), 3)
    found = walker.solve(np.zeros((3, 2), bool), np.zeros((3, 2)), prior, pull=1e6)
    np.testing.assert_allclose(found, prior, atol=1e-4)


def test_parts_without_an_edge_do_not_mix():
    held = np.array([[True], [False], [False], [False]])
    values = np.array([[1.0], [0], [0], [0]])
    walker = Walker(np.array([[0, 1], [2, 3]]), np.array([1.0, 1.0]), 4)
    found = walker.solve(held, values, np.full((4, 1), 0.25), pull=1e-6)
    np.testing.assert_allclose(found[:, 0], [1, 1, 0.25, 0.25], atol=1e-3)
