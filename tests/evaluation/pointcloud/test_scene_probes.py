"""Classes of points: IoU against scikit-learn's counts, probes on features that separate, bad labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from sklearn.neighbors import KNeighborsClassifier

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.pointcloud import (
    NearestNeighbour,
    SceneIoU,
    fit_linear_probe,
    point_confusion,
    scene_scores,
)
from dense3d.evaluation.pointcloud.scene_probes import balanced_choice


def random_classes(count: int = 500, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(-1, classes, count)
    return np.where(
        random.random(count) < 0.6, np.maximum(truth, 0), random.integers(0, classes, count)
    ), truth


def test_figures_are_scikit_learn_s():
    predicted, truth = random_classes()
    counts = point_confusion(predicted, truth, 5)
    known = truth >= 0
    assert np.array_equal(counts, confusion_matrix(truth[known], predicted[known], labels=range(5)))
    figures = scene_scores(counts, "abcde")
    iou = jaccard_score(truth[known], predicted[known], average=None)
    assert [figures[f"iou/{name}"] for name in "abcde"] == pytest.approx(100 * iou)
    assert figures["miou"] == pytest.approx(100 * iou.mean())
    assert figures["accuracy"] == pytest.approx(100 * (predicted == truth)[known].mean())


def test_classes_that_nothing_has_do_not_count_and_predicted_ones_do():
    truth, predicted = np.array([0, 0, 1, -1]), np.array([0, 0, 2, 3])
    figures = scene_scores(point_confusion(predicted, truth, 5), "abcde")
    assert figures["miou"] == pytest.approx(100 / 3)  # a right, b and c wrong, d and e nowhere
    assert figures["class_accuracy"] == pytest.approx(50) and np.isnan(figures["iou/d"])


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([0, 5], [0, 1], "the prediction 5; there are classes 0 to 2"),
        ([0, 1], [0, 3], "the label 3; there are classes 0 to 2"),
        ([0, 1, 2], [0, 1], "3 predictions for 2 labels"),
    ],
)
def test_unknown_classes_and_other_numbers_of_points_are_refused(predicted, truth, message):
    with pytest.raises(DataError, match=message):
        point_confusion(np.array(predicted), np.array(truth), 3)


def test_the_metric_counts_points_of_all_scenes_together():
    metric = SceneIoU()
    metric.dataset_meta = {"classes": tuple("abcde")}
    pairs = [random_classes(count, seed=count) for count in (100, 700)]
    fields = [dict(pred_point_labels=torch.tensor(p), gt_point_labels=torch.tensor(t)) for p, t in pairs]
    metric.process({}, fields)
    joined = [np.concatenate(part) for part in zip(*pairs)]
    wanted = scene_scores(point_confusion(*joined, 5), "abcde")
    assert metric.compute_metrics(metric.results) == pytest.approx(wanted)
    few = SceneIoU(by_class=False)
    few.dataset_meta = metric.dataset_meta
    assert sorted(few.compute_metrics(metric.results)) == ["accuracy", "class_accuracy", "miou"]


def test_the_metric_says_what_it_lacks():
    metric = SceneIoU()
    sample = dict(pred_point_labels=torch.zeros(3), sample_id="room_1")
    with pytest.raises(DataError, match="room_1 has no labels"):
        metric.process({}, [sample])
    with pytest.raises(ConfigError, match="names its classes"):
        metric.process({}, [{**sample, "gt_point_labels": torch.zeros(3)}])
    metric.dataset_meta = {"classes": ("a", "b")}
    with pytest.raises(DataError, match="no labelled point"):
        metric.compute_metrics([np.zeros((2, 2), dtype=np.int64)])
    with pytest.raises(DataError, match="no scene"):
        metric.compute_metrics([])


def clusters(count: int = 600, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    middles = 3 * torch.randn(4, 8, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(4, (count,), generator=random)
    return middles[labels] + 0.3 * torch.randn(count, 8, generator=random), labels


@pytest.mark.parametrize("probe", [fit_linear_probe, NearestNeighbour])
def test_probes_tell_clusters_apart_and_repeat_by_seed(probe):
    features, labels = clusters()
    labels[::3] = -1  # these points teach nothing
    test, truth = clusters(200, seed=1)
    found = probe(features, labels, 6, seed=3).predict(test)
    assert (found == truth).float().mean() > 0.98
    assert torch.equal(found, probe(features, labels, 6, seed=3).predict(test))


def test_features_of_any_scale_are_as_good():
    features, labels = clusters()
    scale = 10.0 ** torch.arange(-4, 4)
    test, truth = clusters(200, seed=1)
    found = fit_linear_probe(features * scale + 7, labels, 4).predict(test * scale + 7)
    assert (found == truth).float().mean() > 0.98


def test_neighbours_are_scikit_learn_s_by_cosine():
    random = torch.Generator().manual_seed(4)
    features, test = torch.randn(300, 6, generator=random), torch.randn(100, 6, generator=random)
    labels = torch.randint(5, (300,), generator=random)
    mean, deviation = features.mean(dim=0), features.std(dim=0)
    peer = KNeighborsClassifier(1, metric="cosine")
    peer.fit(((features - mean) / deviation).numpy(), labels.numpy())
    found = NearestNeighbour(features, labels, 5).predict(test)
    assert (found.numpy() == peer.predict(((test - mean) / deviation).numpy())).all()
    assert len(NearestNeighbour(features, labels, 5).predict(test[:0])) == 0


def test_references_are_balanced_by_class():
    labels = torch.tensor([0] * 100 + [1] * 5 + [3] * 20)
    kept = balanced_choice(labels, 10, seed=1)
    assert labels[kept].bincount().tolist() == [10, 5, 0, 10] and len(kept.unique()) == len(kept)
    assert sorted(kept.tolist()) != sorted(balanced_choice(labels, 10, seed=2).tolist())


@pytest.mark.parametrize("probe", [fit_linear_probe, NearestNeighbour])
def test_probes_refuse_labels_that_teach_nothing(probe):
    features, labels = clusters(10)
    with pytest.raises(DataError, match="all others of its points are ignored"):
        probe(features, torch.full((10,), -1), 4)
    with pytest.raises(DataError, match=r"the label \d; there are classes 0 to 0"):
        probe(features, labels, 1)
    with pytest.raises(DataError, match="9 labels for features of 10 points"):
        probe(features, labels[:9], 4)
    one_class = probe(features, torch.zeros(10, dtype=torch.long), 4)
    assert (one_class.predict(features) == 0).all()  # the others are absent
