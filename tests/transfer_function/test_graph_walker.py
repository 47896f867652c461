"""The walker on supervoxels against dense solves."""

import numpy as np

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
