import numpy as np
import pytest

from dense3d.evaluation.boxes3d import SceneBoxes

CLASSES = ("bed", "chair", "table", "lamp", "sofa")


def random_boxes(rng, count, spread=3.0):
    center, size = rng.uniform(-spread, spread, (count, 3)) * [1, 1, 0.2], rng.uniform(0.4, 1.6, (count, 3))
    return np.concatenate([center, size, rng.uniform(-np.pi, np.pi, (count, 1))], axis=1)


def random_scenes(seed, scenes=6, objects=12, detections=60):
    """Ground truth without lamps, and predictions without sofas: some near the truth, some anywhere."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for index in range(scenes):
        boxes = random_boxes(rng, 0 if index == 2 else objects)
        labels = rng.choice([0, 1, 2, 4], len(boxes))
        truth[f"scene{index}"] = {"boxes": boxes, "labels": labels}
        near = rng.integers(0, max(len(boxes), 1), detections)
        noise = rng.normal(scale=0.15, size=(detections, 7))
        guesses = random_boxes(rng, detections)
        guessed = rng.integers(0, 4, detections)
        if len(boxes):
            close = rng.random(detections) < 0.7
            guesses[close] = (boxes[near] + noise)[close]
            guessed[close] = np.minimum(labels[near][close], 3)
        guesses[:, 3:6] = np.abs(guesses[:, 3:6])
        found[f"scene{index}"] = {"boxes": guesses, "labels": guessed, "scores": rng.random(detections)}
    return SceneBoxes.of(truth, CLASSES), SceneBoxes.of(found, CLASSES)


@pytest.fixture(params=range(3))
def scenes(request):
    return random_scenes(request.param)


@pytest.fixture
def one_pair():
    return random_scenes(7)
