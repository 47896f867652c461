"""Accuracies of classifiers against torchvision-like counting by hand, and what is written."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from dense3d.errors import DataError
from dense3d.evaluation.classification import ClassAccuracy, class_accuracies, confusion_matrix


def samples(scores: torch.Tensor, labels: list[int]) -> list[dict]:
    return [
        dict(pred_scores=score, pred_label=score.argmax(), gt_label=torch.tensor(label))
        for score, label in zip(scores, labels)
    ]


def test_accuracies_are_those_of_counting():
    torch.manual_seed(0)
    scores, labels = torch.rand(200, 8).softmax(1), torch.randint(0, 8, (200,))
    metric = ClassAccuracy()
    metric.process(None, samples(scores, labels.tolist()))
    found = metric.compute_metrics(metric.results)
    right = scores.argmax(1) == labels
    assert found["top1"] == pytest.approx(100 * right.float().mean().item())
    best = scores.argsort(1, descending=True)[:, :5]
    assert found["top5"] == pytest.approx(100 * (best == labels[:, None]).any(1).float().mean().item())
    each = [right[labels == c].float().mean().item() for c in range(8)]
    assert found["class_accuracy"] == pytest.approx(100 * np.mean(each))


def test_five_classes_have_no_top5_and_absent_ones_do_not_count(tmp_path):
    metric = ClassAccuracy(result_prefix=str(tmp_path / "predictions"))
    metric.dataset_meta = {"classes": tuple("abcde")}
    metric.process(None, samples(torch.eye(5)[[0, 0, 1]], [0, 1, 1]))
    assert metric.compute_metrics(metric.results) == {
        "top1": pytest.approx(100 * 2 / 3),
        "class_accuracy": pytest.approx(75.0),
    }
    rows = list(csv.reader((tmp_path / "predictions.classes.csv").read_text().splitlines()))
    assert rows[0] == ["class", "images", "accuracy", *"abcde"]
    assert rows[2] == ["b", "2", "50.00", "1", "1", "0", "0", "0"] and rows[3][2] == ""
    assert Image.open(tmp_path / "predictions.confusion.png").size[0] > 100


def test_the_matrix_has_rows_of_truth():
    matrix = confusion_matrix(np.array([0, 0, 2]), np.array([1, 0, 2]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert np.isnan(class_accuracies(matrix)[1])
    with pytest.raises(DataError, match="correct num_classes"):
        confusion_matrix(np.array([3]), np.array([0]), 3)


def test_what_cannot_be_compared_is_refused():
    metric = ClassAccuracy()
    with pytest.raises(DataError, match="no image to evaluate"):
        metric.compute_metrics([])
    with pytest.raises(DataError, match="label 3 and the model 3"):
        metric.process(None, samples(torch.eye(3)[:1], [3]))
    with pytest.raises(DataError, match="not finite"):
        metric.process(None, samples(torch.full((1, 3), torch.nan), [0]))
    with pytest.raises(DataError, match="no gt_label"):
        metric.process(None, [dict(pred_scores=torch.eye(3)[0])])
