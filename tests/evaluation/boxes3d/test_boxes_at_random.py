"""A floor that a constant predictor reaches is none: mean boxes at random places score next to nothing."""

from __future__ import annotations

import numpy as np

from dense3d.datasets.synthetic.rooms import CLASSES, make_room
from dense3d.evaluation.boxes3d import SceneBoxes, evaluate_classes


def boxes_at_random(rooms, rng, number: int = 64) -> SceneBoxes:
    """In each room as many boxes, of the classes' frequencies, mean sizes and mean heights above the floor.

    Args:
        rooms: low and high corner (3,) of each, true boxes (K, 7), labels (K,).
    """
    labels = np.concatenate([labels for *_, labels in rooms])
    boxes = np.concatenate([boxes for *_, boxes, _ in rooms])
    means = {label: boxes[labels == label].mean(axis=0) for label in np.unique(labels)}
    found = {}
    for index, (low, high, *_) in enumerate(rooms):
        guessed = rng.choice(labels, number)
        guesses = np.array([means[label] for label in guessed])
        guesses[:, :2] = rng.uniform(low[:2], high[:2], (number, 2))
        guesses[:, 6] = rng.integers(0, 4, number) * np.pi / 2  # most things stand along the walls
        found[str(index)] = {"boxes": guesses, "labels": guessed, "scores": rng.random(number)}
    return SceneBoxes.of(found, CLASSES)


def test_mean_boxes_at_random_places_score_next_to_nothing():
    rng = np.random.default_rng(0)
    clouds = [make_room(rng, 1000) for _ in range(12)]
    rooms = [(c.points.min(axis=0), c.points.max(axis=0), c.boxes, c.box_labels) for c in clouds]
    truth = {str(i): {"boxes": boxes, "labels": labels} for i, (*_, boxes, labels) in enumerate(rooms)}
    figures = evaluate_classes(SceneBoxes.of(truth, CLASSES), boxes_at_random(rooms, rng), (0.25, 0.5))
    there = figures.ground_truths > 0
    loose, strict = figures.average_precision[:, there].mean(axis=1)
    assert strict <= loose < 0.05
