"""Batches for classifiers: mixing and erasing in training alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.classification import ClassDataPreprocessor, ImageClassifier
from dense3d.errors import ConfigError, DataError
from tests.classification.test_classifier import SWIN, labelled

PLAIN = dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True)


def batch(*labels: int) -> dict:
    images = [torch.full((3, 32, 32), 255 * (label % 2), dtype=torch.uint8) for label in labels]
    return {"inputs": images, "data_samples": labelled(*labels)}


def test_mixing_is_of_training_and_scores_are_shares_of_the_images():
    np.random.seed(0)
    mixing = dict(mixup_alpha=0.8, cutmix_alpha=0.0, num_classes=2)
    preprocessor = ClassDataPreprocessor(**PLAIN, batch_augment=mixing)
    mixed = preprocessor(batch(0, 1), training=True)
    for image, sample in zip(mixed["inputs"], mixed["data_samples"]):
        assert sample.gt_score.sum().item() == pytest.approx(1)
        # label 0 is black, -1, and label 1 white
        torch.testing.assert_close(image.mean(), 2 * sample.gt_score[1] - 1, rtol=1e-4, atol=1e-4)
    plain = preprocessor(batch(0, 1), training=False)
    assert "gt_score" not in plain["data_samples"][0] and plain["inputs"][0].unique().tolist() == [-1]


def test_erasing_is_of_training():
    preprocessor = ClassDataPreprocessor(**PLAIN, random_erasing=dict(probability=1.0, mode="const"))
    assert (preprocessor(batch(1, 1), training=True)["inputs"] == 0).any()
    assert (preprocessor(batch(1, 1), training=False)["inputs"] == 1).all()


def test_the_model_tells_the_mixing_how_many_classes_there_are():
    settings = dict(type="ClassDataPreprocessor", **PLAIN, batch_augment=dict(mixup_alpha=0.8))
    model = ImageClassifier(SWIN, 3, data_preprocessor=settings)
    data = model.data_preprocessor(batch(0, 2), training=True)
    assert model(**data, mode="loss")["loss"].isfinite()


def test_what_cannot_be_mixed_is_refused():
    mixing = dict(mixup_alpha=0.8, num_classes=2)
    preprocessor = ClassDataPreprocessor(**PLAIN, batch_augment=mixing)
    with pytest.raises(DataError, match="even batch_size"):
        preprocessor(batch(0, 1, 1), training=True)
    with pytest.raises(DataError, match="label 5 and the model 2"):
        preprocessor(batch(0, 5), training=True)
    with pytest.raises(ConfigError, match="mixupalpha"):
        ClassDataPreprocessor(**PLAIN, batch_augment=dict(mixupalpha=1.0))
