"""A preview is near the classification that follows, and changes nothing of it."""

from __future__ import annotations

import numpy as np
from transfer_function.cubes import BRIGHT, DARK, two_cubes

from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.prompts import Prompt


def prompt(class_id: int, *voxel: int) -> Prompt:
    return Prompt(class_id, np.array([voxel], np.int32))


def prepared() -> GraphClassifier:
    classifier = GraphClassifier(two_cubes(), features=("handmade",))
    classifier.prepare(lambda done, task, left: None)
    return classifier


CLICKS = [prompt(0, 18, 2, 10), prompt(1, *DARK)]


def test_the_first_click_has_one_too():
    classifier = prepared()
    preview = classifier.preview(CLICKS, (1,)).volume()
    final = classifier.classify(CLICKS, (1,)).volume()
    assert preview[0][DARK] == 255 and ((preview > 127) == (final > 127)).mean() > 0.97


def test_it_is_near_what_follows_and_has_no_influence_on_it():
    with_preview, without = prepared(), prepared()
    more = [*CLICKS, prompt(2, *BRIGHT)]
    for classifier in (with_preview, without):
        classifier.classify(CLICKS, (1,))
    preview = with_preview.preview(more, (1, 2)).volume()
    final = with_preview.classify(more, (1, 2)).volume()
    np.testing.assert_array_equal(final, without.classify(more, (1, 2)).volume())
    assert preview.shape == final.shape and ((preview > 127) == (final > 127)).mean() > 0.97
    assert preview[1][BRIGHT] == 255


def test_of_what_has_not_changed_it_is_the_classification():
    classifier = prepared()
    final = classifier.classify(CLICKS, (1,)).volume().astype(int)
    again = classifier.preview(CLICKS, (1,)).volume()
    assert np.abs(again - final).max() <= 2
