"""Refinement of supervoxel scores to voxels: edges are recovered, marks hold, nothing else moves."""

import numpy as np
import pytest
from scipy import ndimage

from dense3d.structures.volume import Volume
from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.graph.scores import GraphScores
from dense3d.transfer_function.graph.voxels import HALO, VoxelRefinement
from dense3d.transfer_function.prompts import Prompt

NOBODY = np.empty((0, 3), np.int32)


def refined(intensity, scores, held=NOBODY, spacing=(1, 1, 1)) -> np.ndarray:
    scores = scores.copy()
    VoxelRefinement(intensity.astype(np.float32), spacing).volume(scores, held)
    return scores


def ball(shape=(20, 22, 18), radius=6.3) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return np.linalg.norm(places - np.array(shape) / 2, axis=-1) < radius


def test_borders_a_voxel_off_come_back_to_the_edge():
    truth = ball()
    wrong = np.zeros(truth.shape, bool)  # blocks of 2 voxels, each with the class of most of it
    blocks = truth.reshape(10, 2, 11, 2, 9, 2).mean((1, 3, 5)) >= 0.5
    wrong[:] = np.kron(blocks, np.ones((2, 2, 2), bool))
    assert (wrong != truth).sum() > 100
    scores = np.where(np.stack([wrong, ~wrong]), np.uint8(230), np.uint8(25))
    found = refined(truth.astype(float), scores)
    np.testing.assert_array_equal(found[0] > 127, truth)
    np.testing.assert_array_equal(found[1] > 127, ~truth)


def test_a_flat_border_in_a_constant_volume_stays():
    scores = np.zeros((1, 12, 9, 7), np.uint8)
    scores[:, :6] = 255
    found = refined(np.zeros(scores.shape[1:]), scores)
    np.testing.assert_array_equal(found > 127, scores > 127)
    along = found[0, :, 4, 3].astype(int)
    np.testing.assert_array_equal(along + along[::-1], 255)  # as much is given to one side as to the other
    assert (np.diff(along) <= 0).all() and (found[0, :4] == 255).all() and not found[0, 8:].any()


def test_a_volume_of_one_class_does_not_change():
    scores = np.random.default_rng(0).integers(200, 255, (2, 6, 7, 8)).astype(np.uint8)
    scores[1] -= 200
    np.testing.assert_array_equal(refined(np.random.default_rng(1).random((6, 7, 8)), scores), scores)


def test_held_voxels_keep_their_scores():
    random = np.random.default_rng(0)
    scores = random.integers(0, 256, (3, 10, 9, 8)).astype(np.uint8)
    held = random.integers(0, (10, 9, 8), (40, 3)).astype(np.int32)
    found = refined(random.random((10, 9, 8)), scores, held)
    at = (slice(None), *held.T)
    np.testing.assert_array_equal(found[at], scores[at])
    assert (found != scores).mean() > 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_volume_gives_mirrored_scores(axis):
    random = np.random.default_rng(0)
    intensity, scores = random.random((9, 8, 10)), random.integers(0, 256, (2, 9, 8, 10)).astype(np.uint8)
    turned = refined(
        np.flip(intensity, axis), np.ascontiguousarray(np.flip(scores, axis + 1)), spacing=(1, 2, 3)
    )
    found = refined(intensity, scores, spacing=(1, 2, 3))
    difference = np.flip(turned, axis + 1).astype(int) - found
    assert np.abs(difference).max() <= 1  # sums of floats in another order


def test_far_slices_do_not_mix():
    scores = np.zeros((1, 9, 9, 9), np.uint8)
    scores[..., 4:] = 255
    found = refined(np.zeros((9, 9, 9)), scores, spacing=(1, 1, 8))
    np.testing.assert_array_equal(found, scores)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 14, 12), (14, 12, 1), (2, 3, 2)])
def test_one_slice_and_tiny_volumes(shape):
    random = np.random.default_rng(0)
    scores = random.integers(0, 256, (2, *shape)).astype(np.uint8)
    constant = np.full_like(scores, 200)
    assert refined(random.random(shape), scores).shape == scores.shape
    np.testing.assert_array_equal(refined(random.random(shape), constant), constant)


@pytest.mark.parametrize("classes", [0, 1, 5])
def test_planes_are_slices_of_the_refined_volume(classes):
    random = np.random.default_rng(0)
    intensity = ndimage.gaussian_filter(random.random((13, 11, 12)), 1).astype(np.float32)
    ids = random.integers(0, 40, intensity.shape).astype(np.int32)
    table = random.integers(0, 256, (classes, 40)).astype(np.uint8)
    voxels = random.integers(0, intensity.shape, (30, 3)).astype(np.int32)
    voxels = np.unique(voxels, axis=0)
    marks = random.integers(0, 256, (classes, len(voxels))).astype(np.uint8)
    refinement = VoxelRefinement(intensity, (1, 1, 2))
    scores = GraphScores(tuple(range(1, classes + 1)), table, ids, voxels, marks, 10, refinement)
    volume = scores.volume()
    x, y, z = voxels[-10:].T
    np.testing.assert_array_equal(volume[:, x, y, z], marks[:, -10:])
    for axis, size in enumerate(volume.shape[1:]):
        for index in (0, HALO, size // 2, size - 1):
            np.testing.assert_array_equal(scores.plane(axis, index), np.take(volume, index, axis + 1))


def test_the_classifier_finds_the_exact_edge_of_two_materials():
    truth = ball((26, 24, 22), 7.6)
    classifier = GraphClassifier(Volume(np.where(truth, 100, 0).astype(np.int16), np.eye(4)), ())
    classifier.prepare(lambda done, task, left: None)
    scores = classifier.classify(
        [Prompt(1, np.array([[13, 12, 11]])), Prompt(0, np.array([[1, 1, 1]]))], (1,)
    )
    np.testing.assert_array_equal(scores.volume()[0] > 127, truth)
