"""Gradients of rasterisation: the reference by finite differences, compiled paths by the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dense3d.ops import rasterize_gaussians
from dense3d.ops.gaussian_colors import rgb_to_sh
from tests.ops.gaussian_scenes import SIZE, one_gaussian, scene

LEAVES = ("means", "quats", "scales", "opacities", "colors", "viewmats", "backgrounds")


def gradients(inputs: dict[str, Tensor], backend: str | None, **options) -> dict[str, Tensor]:
    """By a random sum of pictures, depths and alphas; also by the means on the image."""
    leaves = {name: inputs[name].clone().requires_grad_() for name in LEAVES if name in inputs}
    images, alphas, info = rasterize_gaussians(**inputs | leaves, **options, backend=backend)
    info.means2d.retain_grad()
    random = torch.Generator().manual_seed(9)
    loss = sum(
        (part * torch.randn(part.shape, generator=random, dtype=torch.float64).to(part.dtype)).sum()
        for part in (images, alphas)
    )
    loss.backward()
    return {**{name: leaf.grad for name, leaf in leaves.items()}, "means2d": info.means2d.grad}


def opaque_scene(**options) -> dict[str, Tensor]:
    """With a background, and enough Gaussians of full opacity that light ends and alphas are clamped."""
    inputs = scene(150, **options)
    inputs["opacities"][::7] = 1
    inputs["backgrounds"] = torch.tensor([[0.2, 0.4, 0.9], [1, 0, 0.5]]).to(inputs["means"].dtype)
    return inputs


@pytest.mark.parametrize("convention", ["gsplat", "inria"])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
def test_the_reference_by_finite_differences(mode, convention):
    inputs = scene(5, cameras=1)
    names = ("means", "quats", "scales", "opacities", "colors")

    def render(*values: Tensor) -> Tensor:
        parameters = inputs | dict(zip(names, values))
        options = dict(rasterize_mode=mode, convention=convention, render_mode="RGB+ED")
        images, alphas, _ = rasterize_gaussians(
            **parameters, width=9, height=8, **options, backend="reference"
        )
        return torch.cat([images, alphas], -1)

    inputs["Ks"] = torch.tensor([[[7.0, 0, 4.5], [0, 7.0, 4.0], [0, 0, 1]]]).double()
    assert render(*(inputs[name] for name in names)).count_nonzero() > 100
    leaves = [inputs[name].requires_grad_() for name in names]
    assert torch.autograd.gradcheck(render, leaves, fast_mode=True)


def test_poses_of_the_reference_by_finite_differences():
    inputs = scene(5, cameras=2)
    coefficients = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    inputs["Ks"] = torch.tensor([[7.0, 0, 4.5], [0, 7.0, 4.0], [0, 0, 1]]).double().repeat(2, 1, 1)

    def render(three_rows: Tensor) -> Tensor:
        poses = torch.cat([three_rows, inputs["viewmats"][:, 3:]], 1)
        parameters = inputs | dict(viewmats=poses, colors=coefficients)
        return rasterize_gaussians(**parameters, width=9, height=8, sh_degree=1, backend="reference")[0]

    assert torch.autograd.gradcheck(
        render, inputs["viewmats"][:, :3].clone().requires_grad_(), fast_mode=True
    )


@pytest.mark.parametrize("convention", ["gsplat", "inria"])
@pytest.mark.parametrize("mode", ["classic", "antialiased"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_compiled_gradients_are_those_of_the_reference(convention, mode, dtype, tolerance):
    """Relative to the largest of each. In float32 both are compared with the reference in float64."""
    options = dict(**SIZE, rasterize_mode=mode, convention=convention, render_mode="RGB+D")
    expected = gradients(opaque_scene(), "reference", **options)
    found = gradients(opaque_scene(dtype=dtype), None, **options)
    for name, truth in expected.items():
        error = (found[name].double() - truth).abs().max() / truth.abs().max()
        assert error < tolerance, (name, float(error))


@pytest.mark.parametrize("degree", [0, 2, 3])
def test_coefficients_have_gradients(degree):
    inputs = opaque_scene()
    more = torch.randn(150, 15, 3, generator=torch.Generator().manual_seed(1)).double()
    inputs["colors"] = torch.cat([rgb_to_sh(inputs["colors"])[:, None], 0.3 * more], 1)
    options = dict(**SIZE, sh_degree=degree)
    expected, found = (gradients(inputs, backend, **options) for backend in ("reference", None))
    for name, truth in expected.items():
        torch.testing.assert_close(found[name], truth, rtol=1e-9, atol=1e-9 * float(truth.abs().max()))
    assert not found["colors"][:, (degree + 1) ** 2 :].any()
    assert found["colors"][:, : (degree + 1) ** 2].any()


def test_many_channels_and_covariances():
    inputs = scene(channels=37)
    shapes = torch.randn(60, 3, 3, generator=torch.Generator().manual_seed(2)).double() * 0.2
    covars = shapes @ shapes.mT
    found = {}
    for backend in ("reference", None):
        leaf = covars.clone().requires_grad_()
        options = dict(**SIZE, covars=leaf, backend=backend)
        images = rasterize_gaussians(**inputs | dict(quats=None, scales=None), **options)[0]
        images.square().sum().backward()
        found[backend] = [images.detach(), leaf.grad]
    for one, two in zip(found["reference"], found[None]):
        torch.testing.assert_close(one, two)


def test_a_clamped_alpha_has_no_gradient():
    """Opacity 1 in the centre of a pixel: alpha is 0.999 whatever the opacity, so that pixel adds nothing."""
    for backend in ("reference", None):
        inputs = one_gaussian(opacity=1.0)
        opacity = inputs["opacities"].requires_grad_()
        _, alphas, _ = rasterize_gaussians(**inputs, width=17, height=13, backend=backend)
        (gradient,) = torch.autograd.grad(alphas[0, 6, 8, 0], opacity)
        assert gradient.item() == 0


def test_what_is_hidden_or_not_seen_has_no_gradient():
    """Two of three lie behind opaque ones; the last behind the camera."""
    for backend in ("reference", None):
        inputs = one_gaussian(opacity=1.0)
        shared = {name: inputs.pop(name) for name in ("viewmats", "Ks")}
        five = {name: value.repeat(5, *[1] * (value.ndim - 1)) for name, value in inputs.items()}
        five["means"][:, 2] = torch.tensor([1.0, 1.5, 2, 3, -2])
        five["scales"][:2] = 50.0
        leaves = {name: value.requires_grad_() for name, value in five.items()}
        images, _, info = rasterize_gaussians(**leaves, **shared, width=17, height=13, backend=backend)
        images.square().sum().backward()
        assert leaves["colors"].grad[0].all()
        assert not any(leaf.grad[2:].any() for leaf in leaves.values())
        assert info.visible.tolist() == [[True] * 4 + [False]]


def test_results_do_not_depend_on_the_number_of_threads():
    inputs = opaque_scene(dtype=torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(gradients(inputs, None, **SIZE))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in other)
