"""Poly-1 against its formula, its series, and the loss that it generalises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from dense3d import build_model
from dense3d.registry import MODELS

CONFIG = Path(__file__).parent.parent / "poly-1_vit-comer-t_upernet_synthetic-ade20k.py"


@pytest.fixture(scope="module")
def model():
    """The config's model: its loss is found beside the config."""
    return build_model(CONFIG)


def pixels() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, 4, 5, 6) and labels with a row of ignored pixels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
    labels[:, 0] = 255
    return torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64), labels


def test_config_finds_the_loss_of_its_folder(model):
    assert type(model.decode_head.loss_decode).__name__ == "PolyLoss"
    assert model.auxiliary_head.loss_decode.loss_weight == 0.4


def test_without_epsilon_it_is_cross_entropy(model):
    logits, labels = pixels()
    ours = type(model.decode_head.loss_decode)(epsilon=0.0, loss_weight=0.4)
    theirs = MODELS.build(dict(type="mmseg.CrossEntropyLoss", loss_weight=0.4))
    torch.testing.assert_close(ours(logits, labels), theirs(logits.float(), labels, ignore_index=255))


def test_class_weights_are_factors_of_pixels(model):
    logits, labels = pixels()
    weights = [1.0, 2.0, 0.5, 3.0]
    ours = type(model.decode_head.loss_decode)(epsilon=0.0, class_weight=weights)
    each = cross_entropy(logits.float(), labels, torch.tensor(weights), ignore_index=255, reduction="none")
    torch.testing.assert_close(ours(logits, labels), each.mean())


def test_the_first_term_of_the_series_has_the_weight_one_plus_epsilon(model):
    logits, labels = pixels()
    valid = labels != 255
    true = logits.softmax(1).gather(1, labels.masked_fill(~valid, 0)[:, None])[:, 0]
    terms = [(1 - true) ** j / j for j in range(1, 4000)]
    series = (2.5 * terms[0] + sum(terms[1:])) * valid
    ours = type(model.decode_head.loss_decode)(epsilon=1.5)
    torch.testing.assert_close(ours(logits, labels).double(), series.mean(), rtol=1e-4, atol=1e-5)
