"""Focal losses against torchvision, cross entropy and gradcheck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision

from dense3d import ops

CLASSES = 5


def case(dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(11, CLASSES, generator=generator, dtype=dtype)
    return logits, torch.randint(0, CLASSES + 1, (11,), generator=generator)  # CLASSES is background


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.7)])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_sigmoid_focal_loss_is_torchvisions(gamma, alpha, reduction):
    logits, target = case()
    one_hot = F.one_hot(target, CLASSES + 1)[:, :CLASSES].float()
    expected = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha, gamma, reduction)
    torch.testing.assert_close(
        ops.sigmoid_focal_loss(logits, target, gamma, alpha, None, reduction), expected
    )


def test_mean_divides_by_the_rows():
    logits, target = case()
    for function in (ops.sigmoid_focal_loss, ops.softmax_focal_loss):
        total = function(logits, target.clamp(max=CLASSES - 1), reduction="sum")
        mean = function(logits, target.clamp(max=CLASSES - 1), reduction="mean")
        torch.testing.assert_close(mean, total / 11)


def test_softmax_focal_loss_without_focus_is_cross_entropy():
    logits, target = case()
    target = target.clamp(max=CLASSES - 1)
    target[3] = -1
    loss = ops.softmax_focal_loss(logits, target, gamma=0.0, alpha=1.0, reduction="none")
    torch.testing.assert_close(loss, F.cross_entropy(logits, target, ignore_index=-1, reduction="none"))


def test_softmax_focal_loss_follows_the_definition():
    logits, target = case()
    target = target.clamp(max=CLASSES - 1)
    p = logits.softmax(1)[torch.arange(11), target]
    loss = ops.softmax_focal_loss(logits, target, gamma=2.0, alpha=0.3, reduction="none")
    torch.testing.assert_close(loss, -0.3 * (1 - p) ** 2 * p.log())


def test_class_weights_scale_rows_and_leave_background_alone():
    logits, target = case()
    weight = torch.arange(1.0, CLASSES + 1)
    factor = torch.cat([weight, torch.ones(1)])[target]
    plain = ops.sigmoid_focal_loss(logits, target, reduction="none")
    weighted = ops.sigmoid_focal_loss(logits, target, weight=weight, reduction="none")
    torch.testing.assert_close(weighted, plain * factor[:, None])
    target = target.clamp(max=CLASSES - 1)
    plain = ops.softmax_focal_loss(logits, target, reduction="none")
    torch.testing.assert_close(
        ops.softmax_focal_loss(logits, target, weight=weight, reduction="none"), plain * weight[target]
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("function", [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_differentiates(function, gamma):
    logits, target = case(torch.float64)
    target = target.clamp(max=CLASSES - 1)
    assert torch.autograd.gradcheck(lambda x: function(x, target, gamma), (logits.requires_grad_(),))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("function", [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_gradients_of_saturated_scores_are_finite(function, gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0], [0.0, 0.0]], requires_grad=True)
    loss = function(logits, torch.tensor([0, 0, 1]), gamma)
    gradient = torch.autograd.grad(loss, logits)[0]
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert gradient[1, 0] < 0  # a badly missed positive still pulls


def test_unknown_reduction_is_named():
    with pytest.raises(ValueError, match="'max'"):
        ops.sigmoid_focal_loss(*case(), reduction="max")
