"""Density control and MCMC: who is cloned, split, removed, moved, and what happens to Adam's moments."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from dense3d.ops.gaussian_projection import covariances_reference
from dense3d.radiance.splats.density import DefaultStrategy, split_gaussians
from dense3d.radiance.splats.gaussians import NAMES, Gaussians
from dense3d.radiance.splats.mcmc import MCMCStrategy, relocated
from dense3d.radiance.splats.settings import FitSettings
from dense3d.radiance.splats.surgery import GaussianOptimizer

EXTENT = 2.0


def parts(scales: list[float], opacities: list[float], **settings: object):
    """Gaussians of these scales and opacities, and their optimizer after a step with distinct moments."""
    count = len(scales)
    random = torch.Generator().manual_seed(0)
    gaussians = Gaussians(
        {
            "means": torch.randn(count, 3, generator=random),
            "log_scales": torch.tensor(scales).log()[:, None].repeat(1, 3),
            "quats": torch.randn(count, 4, generator=random),
            "opacity_logits": torch.tensor(opacities).logit(),
            "sh0": torch.randn(count, 1, 3, generator=random),
            "shN": torch.zeros(count, 3, 3),
        }
    )
    chosen = FitSettings(**settings)
    optimizer = GaussianOptimizer(gaussians, chosen, EXTENT)
    for value in gaussians.tensors().values():
        value.grad = torch.arange(1.0, count + 1).view(-1, *[1] * (value.ndim - 1)).expand_as(value).clone()
    optimizer.step(0)
    return gaussians, optimizer, chosen


def strategy_with(pull: list[float], gaussians: Gaussians, settings: FitSettings) -> DefaultStrategy:
    strategy = DefaultStrategy(settings, EXTENT, gaussians)
    strategy.gradients, strategy.seen = 2 * torch.tensor(pull), torch.full((len(pull),), 2.0)
    return strategy


def first_moments(optimizer: GaussianOptimizer, gaussians: Gaussians) -> torch.Tensor:
    return optimizer.adam.state[gaussians.opacity_logits]["exp_avg"]


def test_small_ones_are_cloned_large_ones_split_and_faint_ones_removed() -> None:
    # by columns: calm; pulled and small; pulled and large; calm and faint
    small, large = 0.005 * EXTENT, 0.02 * EXTENT
    gaussians, optimizer, settings = parts([small, small, large, small], [0.5, 0.5, 0.5, 0.004])
    before = {name: value.detach().clone() for name, value in gaussians.tensors().items()}
    strategy = strategy_with([1e-4, 3e-4, 3e-4, 1e-4], gaussians, settings)
    moments = first_moments(optimizer, gaussians).clone()
    strategy.after_step(600, optimizer, torch.Generator().manual_seed(0))
    # calm, the cloned one, its clone, two pieces of the split one
    assert len(gaussians) == 5
    for name in NAMES:
        value = getattr(gaussians, name)
        assert torch.equal(value[:2], before[name][:2])
        assert torch.equal(value[2], before[name][1])
        if name not in ("means", "log_scales"):
            assert torch.equal(value[3:], before[name][[2, 2]])
        state = optimizer.adam.state[value]
        assert state["exp_avg"].shape == state["exp_avg_sq"].shape == value.shape
        assert not state["exp_avg"][2:].any() and not state["exp_avg_sq"][2:].any()
    assert torch.equal(first_moments(optimizer, gaussians)[:2], moments[:2])
    torch.testing.assert_close(gaussians.scales[3:], before["log_scales"][[2, 2]].exp() / 1.6)
    assert not torch.equal(gaussians.means[3], gaussians.means[4])
    assert len(strategy.gradients) == 5 and not strategy.gradients.any()


def test_pieces_are_drawn_from_the_gaussian_itself() -> None:
    random = torch.Generator().manual_seed(1)
    row = {
        "means": torch.tensor([[1.0, 2.0, 3.0]]),
        "log_scales": torch.tensor([[0.5, 0.2, 0.05]]).log(),
        "quats": torch.tensor([[0.9, 0.1, -0.4, 0.3]]),
    }
    pieces = split_gaussians({name: value.repeat(4000, 1) for name, value in row.items()}, random)
    assert len(pieces["means"]) == 8000
    expected = covariances_reference(row["quats"], row["log_scales"].exp())[0]
    torch.testing.assert_close(pieces["means"].mean(0), row["means"][0], atol=0.02, rtol=0)
    torch.testing.assert_close(pieces["means"].T.cov(), expected, atol=0.01, rtol=0.05)


def test_huge_ones_go_only_after_the_first_reset_and_a_cap_takes_the_most_pulled() -> None:
    huge = 0.3 * EXTENT
    gaussians, optimizer, settings = parts([huge, 0.01], [0.5, 0.5])
    strategy_with([0.0, 0.0], gaussians, settings).after_step(2900, optimizer, torch.Generator())
    assert len(gaussians) == 2
    strategy_with([0.0, 0.0], gaussians, settings).after_step(3100, optimizer, torch.Generator())
    assert len(gaussians) == 1
    gaussians, optimizer, settings = parts([0.01] * 4, [0.5] * 4, cap=5)
    means = gaussians.means.detach().clone()
    strategy_with([3e-4, 9e-4, 5e-4, 0.0], gaussians, settings).after_step(600, optimizer, torch.Generator())
    assert len(gaussians) == 5 and torch.equal(gaussians.means[4], means[1])


def test_opacities_are_reset_and_their_moments_cleared() -> None:
    gaussians, optimizer, settings = parts([0.01] * 3, [0.9, 0.006, 0.5])
    before = gaussians.opacities.detach().clone()
    kept = optimizer.adam.state[gaussians.means]["exp_avg"].clone()
    strategy_with([0.0] * 3, gaussians, settings).after_step(3000, optimizer, torch.Generator())
    expected = torch.minimum(before, torch.tensor(0.01))
    torch.testing.assert_close(gaussians.opacities, expected)
    assert not first_moments(optimizer, gaussians).any()
    assert torch.equal(optimizer.adam.state[gaussians.means]["exp_avg"], kept)
    # with a white background also at the start of densification, and nothing after its end
    for step, background, resets in ((500, "white", True), (500, "black", False), (15_000, "black", False)):
        gaussians, optimizer, settings = parts([0.01], [0.9], background=background)
        strategy_with([0.0], gaussians, settings).after_step(step, optimizer, torch.Generator())
        assert (gaussians.opacities.item() < 0.02) is resets


def test_the_pull_is_measured_in_halves_of_the_image_over_the_views_that_see_a_gaussian() -> None:
    gaussians, _, settings = parts([0.01, 0.01], [0.5, 0.5])
    strategy = DefaultStrategy(settings, EXTENT, gaussians)
    for pull, visible in ((3e-4, [True, True]), (1e-4, [True, False])):
        means2d = torch.zeros(1, 2, 2, requires_grad=True)
        (means2d * torch.tensor([pull, 0.0])).sum().backward()
        info = SimpleNamespace(means2d=means2d, visible=torch.tensor([visible]), width=40, height=30)
        strategy.after_backward(1, info)
    torch.testing.assert_close(strategy.gradients / strategy.seen, torch.tensor([20 * 2e-4, 20 * 3e-4]))


def test_dead_ones_move_to_opaque_ones_and_the_cap_holds() -> None:
    gaussians, optimizer, settings = parts(
        [0.05] * 20, [0.6] * 15 + [0.001] * 5, strategy="mcmc", cap=21, noise=0.0
    )
    alive = {tuple(mean) for mean in gaussians.means[:15].tolist()}
    strategy = MCMCStrategy(settings, EXTENT, gaussians)
    strategy.after_step(600, optimizer, torch.Generator().manual_seed(0))
    assert len(gaussians) == 21 and (gaussians.opacities > 0.005).all()
    assert {tuple(mean) for mean in gaussians.means.tolist()} == alive
    strategy.after_step(700, optimizer, torch.Generator().manual_seed(0))
    assert len(gaussians) == 21


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_copies_look_together_as_the_one_did(copies: int) -> None:
    """Along a ray through the middle the peak is kept, and so is the integral of the weight."""
    opacity, scale = torch.tensor([0.7]), torch.tensor([[0.4, 0.4, 0.4]])
    new, size = relocated(opacity, scale, torch.tensor([copies]))
    together = 1 - (1 - new) ** copies
    torch.testing.assert_close(together, opacity)
    x = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    one = opacity * torch.exp(-0.5 * (x / scale[0, 0]) ** 2)
    many = 1 - (1 - new * torch.exp(-0.5 * (x / size[0, 0]) ** 2)) ** copies
    assert math.isclose(one.sum(), many.sum(), rel_tol=1e-4)


def test_faint_ones_walk_along_their_own_axes_and_opaque_ones_stay() -> None:
    gaussians, optimizer, settings = parts([0.1] * 2, [0.004, 0.9], strategy="mcmc")
    with torch.no_grad():
        gaussians.quats.copy_(torch.tensor([[1.0, 0, 0, 0]]))
        gaussians.log_scales[:, 2] -= 20
    before = gaussians.means.detach().clone()
    MCMCStrategy(settings, EXTENT, gaussians).after_step(1, optimizer, torch.Generator().manual_seed(0))
    moved = (gaussians.means - before).abs()
    assert (moved[0, :2] > 1e-4).all() and moved[0, 2] < 1e-6 and (moved[1] < 1e-6).all()
