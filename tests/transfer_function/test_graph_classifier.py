"""The default classifier: what a click must do whatever the volume is."""

import numpy as np
import pytest

from dense3d.structures.volume import Volume
from dense3d.transfer_function.graph.adjacency import Adjacency
from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.graph.supervoxels import Supervoxels
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


def test_marks_of_two_classes_in_one_region_split_it_along_its_edge():
    labels = np.zeros((4, 8, 8), int)
    labels[:, 4:] = 1
    classifier = prepared(labels.astype(np.float32))
    classifier.regions = one_region(labels.shape)  # the extreme: everything is in one region
    classifier._prepared = classifier._assembled(no_contacts(), np.zeros(1), None, None)
    found = classes(classifier.classify([click(1, (1, 1, 4)), click(2, (2, 6, 4))], (1, 2)))
    np.testing.assert_array_equal(found, 1 + labels)


def one_region(shape) -> Supervoxels:
    ids = np.zeros(shape, np.int32)
    return Supervoxels(ids, 1, np.array([shape]) / 2 - 0.5, np.array([ids.size]), 8.0)


def no_contacts() -> Adjacency:
    return Adjacency(np.empty((0, 2), np.int32), np.empty(0), np.empty(0))


def test_the_last_mark_of_a_voxel_holds():
    prompts = [click(1, (7, 10, 8)), click(2, (7, 10, 8))]
    scores = prepared(two_boxes()[0]).classify(prompts, (1, 2)).plane(0, 7)
    assert scores[:, 10, 8].tolist() == [0, 255]


def test_all_clicks_in_one_region_and_many_in_a_stroke():
    classifier = prepared(two_boxes()[0])
    stroke = np.argwhere(two_boxes()[1] == 1).astype(np.int32)
    found = classes(classifier.classify([Prompt(1, stroke, "stroke"), click(2, (17, 10, 8))], (1, 2)))
    assert (found[tuple(stroke.T)] == 1).all()
    crowd = [click(c, (7, 10, 8 + c)) for c in (1, 2, 3)]
    assert classes(classifier.classify(crowd, (1, 2, 3)))[7, 10, 9] == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_volume_gives_mirrored_classes(axis):
    values, _ = two_boxes((24, 20, 16))
    size = values.shape[axis]
    mirrored = []
    for prompt in CLICKS:
        voxels = prompt.voxels.copy()
        voxels[:, axis] = size - 1 - voxels[:, axis]
        mirrored.append(Prompt(prompt.class_id, voxels))
    found = classes(prepared(values).classify(CLICKS, (1, 2)))
    turned = classes(prepared(np.ascontiguousarray(np.flip(values, axis))).classify(mirrored, (1, 2)))
    assert (np.flip(turned, axis) == found).mean() > 0.99


def test_classes_may_be_numbered_and_ordered_freely():
    classifier = prepared(two_boxes()[0])
    named = [Prompt({1: 9, 2: 4}.get(p.class_id, 0), p.voxels) for p in CLICKS]
    scores = classifier.classify(named, (9, 4))
    assert scores.class_ids == (9, 4)
    np.testing.assert_array_equal(scores.volume(), classifier.classify(CLICKS, (1, 2)).volume())


def test_a_class_without_marks_changes_nothing():
    classifier = prepared(two_boxes()[0])
    more = classifier.classify(CLICKS, (1, 2, 3)).volume()
    np.testing.assert_array_equal(more[:2], classifier.classify(CLICKS, (1, 2)).volume())
    assert not more[2].any()
