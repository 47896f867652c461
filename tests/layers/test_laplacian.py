"""Losses with a learned uncertainty."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Laplace

from dense3d.errors import ConfigError, DataError
from dense3d.layers.laplacian import (
    DenseL1Loss,
    LaplacianLoss,
    LaplacianLossBounded,
    LaplacianLossBounded2,
)

LOSSES = (LaplacianLoss, LaplacianLossBounded, LaplacianLossBounded2)
INF = float("inf")


def batch(channels: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    prediction, target = (3 * torch.randn(2, channels, 5, 7, generator=generator) for _ in range(2))
    raw = torch.randn(2, 1, 5, 7, generator=generator)
    target[0, :, :2] = INF
    return prediction, target, raw


@pytest.mark.parametrize("kind", LOSSES)
def test_it_is_the_likelihood_of_a_laplacian(kind):
    prediction, target, raw = batch()
    loss = kind()
    scale = loss.log_scale(raw).exp()
    valid = target.isfinite()
    density = Laplace(prediction, scale).log_prob(target.nan_to_num(posinf=0))[valid]
    torch.testing.assert_close(loss(prediction, target, raw), -density.mean() - math.log(2))
    torch.testing.assert_close(loss.deviation(raw), Laplace(0.0, scale).stddev)


@pytest.mark.parametrize("kind", LOSSES)
def test_confidence_falls_from_one_to_zero_as_the_deviation_grows(kind):
    raw = torch.linspace(-30, 30, 101)
    loss = kind()
    confidence, deviation = loss.confidence(raw), loss.deviation(raw)
    assert (confidence.diff() <= 0).all()
    assert (deviation.diff() >= 0).all()
    assert confidence[0] > 0.99
    assert confidence[-1] < 0.01
    assert (confidence[30:70].diff() < 0).all()


def test_confidence_is_the_place_between_the_bounds():
    raw = torch.randn(50)
    bounded, bounded2 = LaplacianLossBounded(a=0.5, b=5.0), LaplacianLossBounded2(a=2.0, b=1.5)
    scale, log_scale = bounded.log_scale(raw).exp(), bounded2.log_scale(raw)
    torch.testing.assert_close(bounded.confidence(raw), (5.0 - scale) / 4.5)
    torch.testing.assert_close(bounded2.confidence(raw), (2.0 - log_scale) / 4.0)


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_too_far_does_not_count(channels):
    """Disparity by its sign, flow by its length."""
    _, target, _ = batch(channels)
    target[1, :, 0, 0] = torch.tensor([-50.0, 0.0])[:channels]
    valid = LaplacianLoss(max_gtnorm=4.0).valid(target)
    norm = target[:, 0] if channels == 1 else torch.linalg.vector_norm(target, dim=1)
    assert torch.equal(valid, norm < 4)
    assert valid[1, 0, 0] == (channels == 1)


@pytest.mark.parametrize("kind", [*LOSSES, DenseL1Loss])
def test_a_batch_without_ground_truth_gives_zero_and_finite_gradients(kind):
    prediction, target, raw = batch(2)
    prediction.requires_grad_()
    raw.requires_grad_()
    loss = kind()(prediction, torch.full_like(target, INF), raw)
    loss.backward()
    assert loss.item() == 0
    assert not prediction.grad.any()


@pytest.mark.parametrize("kind", LOSSES)
def test_half_precision_is_computed_in_single(kind):
    prediction, target, raw = (x.bfloat16() for x in batch())
    loss = kind()(prediction, target, raw)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kind()(prediction.float(), target.float(), raw.float()))


def test_wrong_arguments_are_refused():
    prediction, target, raw = batch()
    for faulty in (
        lambda: LaplacianLossBounded(a=2.0, b=1.0),
        lambda: LaplacianLossBounded2(a=0.0),
        lambda: DenseL1Loss(max_gtnorm=0),
    ):
        with pytest.raises(ConfigError):
            faulty()
    with pytest.raises(DataError, match="raw confidence"):
        LaplacianLoss()(prediction, target)
    with pytest.raises(DataError, match="shape"):
        LaplacianLoss()(prediction, target[:1], raw)
