"""The default classifier: what a click must do whatever the volume is."""

import numpy as np
import pytest

from dense3d.structures.volume import Volume
from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.prompts import Prompt


def two_boxes(shape=(24, 20, 16)):
    """Two bright boxes of different intensity in a dark surrounding with a little noise, and their labels."""
    labels = np.zeros(shape, int)
    labels[4:11, 4:16, 3:13] = 1
    labels[14:21, 4:16, 3:13] = 2
    values = np.array([0.0, 100.0, 60.0])[labels] + np.random.default_rng(0).normal(0, 2, shape)
    return values.astype(np.float32), labels


def prepared(values, spacing=(1, 1, 1)) -> GraphClassifier:
    classifier = GraphClassifier(Volume(values, np.diag([*spacing, 1.0])), features=("handmade",))
    classifier.prepare(lambda done, task, left: None)
    return classifier


def click(class_id, *voxels, positive=True) -> Prompt:
    return Prompt(class_id, np.array(voxels, np.int32), positive=positive)


def classes(scores) -> np.ndarray:
    volume = scores.volume()
    winner = np.array([0, *scores.class_ids])[1 + volume.argmax(axis=0)]
    return np.where(volume.max(axis=0) > 127, winner, 0)


CLICKS = [click(1, (7, 10, 8)), click(2, (17, 10, 8)), click(0, (1, 1, 1), (12, 10, 8))]


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 3)])
def test_a_click_fills_its_box(spacing):
    values, labels = two_boxes()
    found = classes(prepared(values, spacing).classify(CLICKS, (1, 2)))
    for c in (1, 2):
        overlap = 2 * ((found == c) & (labels == c)).sum() / ((found == c).sum() + (labels == c).sum())
        assert overlap > 0.95


def test_planes_are_slices_of_the_volume():
    scores = prepared(two_boxes()[0]).classify(CLICKS, (1, 2))
    volume = scores.volume()
    for axis in range(3):
        for index in (0, 8):
            np.testing.assert_array_equal(scores.plane(axis, index), np.take(volume, index, axis=axis + 1))


def test_undo_gives_equal_scores():
    classifier = prepared(two_boxes()[0])
    before = classifier.classify(CLICKS, (1, 2)).volume()
    classifier.classify([*CLICKS, click(1, (17, 5, 5))], (1, 2))
    np.testing.assert_array_equal(classifier.classify(CLICKS, (1, 2)).volume(), before)


def test_clicked_voxels_have_their_class_even_against_a_neighbour():
    prompts = [*CLICKS, click(2, (7, 10, 9))]
    found = classes(prepared(two_boxes()[0]).classify(prompts, (1, 2)))
    for prompt in prompts:
        assert (found[tuple(prompt.voxels.T)] == prompt.class_id).all()


def test_exchanging_two_classes_exchanges_their_scores():
    classifier = prepared(two_boxes()[0])
    swapped = [Prompt({1: 2, 2: 1}.get(p.class_id, 0), p.voxels) for p in CLICKS]
    scores, exchanged = (classifier.classify(p, (1, 2)).volume() for p in (CLICKS, swapped))
    np.testing.assert_array_equal(exchanged, scores[::-1])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 9), (9, 1, 1), (2, 2, 2)])
def test_constant_and_tiny_volumes(shape):
    scores = prepared(np.ones(shape, np.int16)).classify([click(1, (0, 0, 0))], (1,))
    assert scores.volume().shape == (1, *shape)
    assert scores.volume()[0, 0, 0, 0] == 255


def test_without_clicks_nothing_belongs_to_a_class():
    scores = prepared(two_boxes()[0]).classify([], (1, 2))
    assert not scores.volume().any()


def test_a_click_against_a_class_takes_its_box_away():
    prompts = [*CLICKS, click(1, (17, 12, 8), positive=False)]
    scores = prepared(two_boxes()[0]).classify(prompts, (1, 2))
    assert scores.volume()[0, 17, 12, 8] == 0
