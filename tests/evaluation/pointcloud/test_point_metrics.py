"""Metrics of clouds: accuracies, votes, parts, folds, classifiers on features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, jaccard_score

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.pointcloud import (
    PartIoU,
    PointClassification,
    accuracies,
    linear_svm,
    mlp_linear,
    paired_difference,
    part_scores,
    shape_score,
    summarise,
    vote,
)

PARTS = {"Mug": [0, 1], "Chair": [2, 3, 4]}


def classified(labels, predicted, votes=None) -> list[dict]:
    samples = [dict(gt_label=torch.tensor(a), pred_label=torch.tensor(b)) for a, b in zip(labels, predicted)]
    for sample, logits in zip(samples, votes if votes is not None else ()):
        sample["pred_vote_logits"] = logits
    return samples


def test_accuracies_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 4, 200), random.integers(0, 4, 200)
    overall, by_class = accuracies(predicted, labels)
    assert overall == pytest.approx(100 * (labels == predicted).mean())
    assert by_class == pytest.approx(100 * balanced_accuracy_score(labels, predicted))
    with pytest.raises(DataError, match="no cloud"):
        accuracies(np.array([]), np.array([]))


def test_logits_are_averaged_and_not_probabilities():
    logits = torch.tensor([[[9.0, 0.0]], [[0.0, 4.0]], [[0.0, 4.0]]])
    assert logits.softmax(-1).mean(0).argmax(1).tolist() == [1] and vote(logits)[1].tolist() == [0]


def test_the_metric_of_classes():
    metric = PointClassification()
    metric.process(None, classified([0, 1, 1], [0, 1, 0]))
    assert metric.compute_metrics(metric.results) == pytest.approx(
        {"overall_accuracy": 200 / 3, "class_accuracy": 75.0}
    )
    with pytest.raises(DataError, match="no gt_label"):
        metric.process(None, [dict(pred_label=torch.tensor(0))])


def test_votes_have_a_mean_and_officially_a_maximum():
    votes = torch.tensor(
        [[[1.0, 0], [0, 1], [1, 0]], [[0.0, 1], [1, 0], [1, 0]]]
    )  # two clouds, three repeats
    metric = PointClassification()
    metric.process(None, classified([0, 1], [0, 0], votes))
    found = metric.compute_metrics(metric.results)
    assert (
        found["voting_accuracy"] == pytest.approx(100 * (1 + 0 + 0.5) / 3) and "voting_maximum" not in found
    )
    maximum = PointClassification(official_maximum=True)
    assert maximum.compute_metrics(metric.results)["voting_maximum"] == 100
    maximum.process(None, classified([0], [0]))
    with pytest.raises(DataError, match="official_maximum is of a model that votes"):
        maximum.compute_metrics(maximum.results)


def test_parts_are_scored_as_by_scikit_learn():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(2, 5, 100), random.integers(2, 5, 100)
    expected = jaccard_score(truth, predicted, labels=[2, 3, 4], average="macro")
    assert shape_score(predicted, truth, "Chair", PARTS["Chair"]).iou == pytest.approx(expected)


def test_absent_parts_count_one():
    truth = np.array([2, 2, 2])
    assert shape_score(truth, truth, "Chair", PARTS["Chair"]).iou == 1
    assert shape_score(np.array([2, 2, 3]), truth, "Chair", PARTS["Chair"]).iou == pytest.approx(
        (2 / 3 + 0 + 1) / 3
    )


def test_means_over_shapes_and_over_categories_differ():
    right, wrong = np.array([0, 1]), np.array([1, 0])
    shapes = [shape_score(right, right, "Mug", [0, 1]) for _ in range(3)]
    shapes.append(shape_score(wrong + 2, right + 2, "Chair", [2, 3]))
    found = part_scores(shapes)
    assert (found["instance_miou"], found["class_miou"]) == (75, 50)
    assert (found["iou/Mug"], found["iou/Chair"], found["accuracy"]) == (100, 0, 75)
    with pytest.raises(DataError, match="no shape"):
        part_scores([])


def test_the_metric_of_parts_restricts_to_the_category():
    scores = torch.tensor([[0.0, 1, 9, 9, 9], [2.0, 1, 9, 9, 9]])
    sample = dict(gt_point_labels=torch.tensor([1, 0]), pred_point_scores=scores)
    metric = PartIoU(PARTS)
    metric.process(None, [sample])
    assert metric.compute_metrics(metric.results)["instance_miou"] == 100
    with pytest.raises(DataError, match="label 7 is a part of no category"):
        metric.process(None, [sample | dict(gt_point_labels=torch.tensor([7, 0]))])
    unlabelled = torch.cat([sample["gt_point_labels"], torch.tensor([-1])])
    metric.process(
        None, [dict(gt_point_labels=unlabelled, pred_point_scores=torch.cat([scores, scores[:1]]))]
    )
    assert metric.results[-1].iou == 1
    with pytest.raises(DataError, match="no labelled point"):
        metric.process(None, [sample | dict(gt_point_labels=torch.tensor([-1, -1]))])
    with pytest.raises(ConfigError, match="needs category_parts"):
        PartIoU().process(None, [sample])
    from_data = PartIoU()
    from_data.dataset_meta = dict(parts=PARTS)
    from_data.process(None, [sample])
    assert from_data.results[0].category == "Mug"


def test_folds():
    found = summarise([90.0, 100.0, 95.0])
    assert (found.mean, found.folds) == (95, 3) and found.deviation == pytest.approx(np.std([90, 100, 95]))
    mean, error = paired_difference([3.0, 5.0, 4.0], [1.0, 1.0, 1.0])
    assert mean == 3 and error == pytest.approx(np.std([2, 4, 3], ddof=1) / 3**0.5)
    with pytest.raises(DataError, match="no pairs"):
        paired_difference([1.0], [])


@pytest.mark.parametrize("classify", [linear_svm, mlp_linear])
def test_classifiers_separate_what_is_separable(classify):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(25)
    corners = 4 * torch.eye(4)[labels]
    train, test = (corners + torch.randn(100, 4, generator=random) for _ in range(2))
    predicted = classify(train, labels, test)
    assert (predicted == labels).float().mean() > 0.9
    assert torch.equal(classify(train, labels, test), predicted)


@pytest.mark.parametrize("classify", [linear_svm, mlp_linear])
def test_the_scale_and_place_of_a_feature_do_not_matter(classify):
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    features = torch.randn(60, 8, generator=random) + 2 * torch.eye(3, 8)[labels]
    moved = features * torch.logspace(-3, 3, 8) + 50
    plain, other = (classify(f[:30], labels[:30], f[30:]) for f in (features, moved))
    assert (plain == other).float().mean() > 0.95
    assert (plain == labels[30:]).float().mean() > 0.7
