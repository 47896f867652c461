"""gsplat: its functions in torch give the same on a CPU; what its CUDA path takes and gives is mapped."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from dense3d.ops import gaussian_cuda, project_gaussians, rasterize_gaussians, spherical_harmonics
from dense3d.ops.gaussian_projection import projection_options
from dense3d.ops.gaussian_rasterization import GaussianInfo, _in_torch
from tests.ops.gaussian_scenes import SIZE, scene


@pytest.fixture
def peer():
    """gsplat's functions in torch, where it is installed; they import without its kernels."""
    module = pytest.importorskip("gsplat.cuda._torch_impl")
    if version("gsplat").startswith("1.4."):
        pytest.skip("gsplat 1.4, which plain pip installs with nerfstudio, has other boxes")
    return module


def test_projection_is_gsplats(peer):
    """Its boxes are those of opacity 1 and more, and it culls a depth of exactly the near plane, too."""
    inputs = scene(cameras=3)
    inputs["opacities"] = torch.ones(60).double()
    del inputs["colors"]
    found = project_gaussians(**inputs, **SIZE, rasterize_mode="antialiased")
    covars, _ = peer._quat_scale_to_covar_preci(inputs["quats"], inputs["scales"], compute_preci=False)
    radii, means2d, depths, conics, compensations = peer._fully_fused_projection(
        inputs["means"], covars, inputs["viewmats"], inputs["Ks"], **SIZE, calc_compensations=True
    )
    for mine, theirs in zip(found[:4], (means2d, conics, depths, compensations)):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.radii > 0, radii > 0)
    assert ((found.radii - radii).abs() <= 1).all()  # 3.33 and sqrt(2 ln 255) differ in the third digit


def test_harmonics_are_gsplats(peer):
    random = torch.Generator().manual_seed(0)
    dirs = torch.randn(50, 3, generator=random).double()
    coeffs = torch.randn(50, 16, 3, generator=random).double()
    for degree in range(4):
        theirs = peer._spherical_harmonics(degree, dirs, coeffs)
        torch.testing.assert_close(spherical_harmonics(degree, dirs, coeffs), theirs, rtol=1e-9, atol=1e-9)


def test_arguments_and_results_of_gsplats_rasterization(peer, monkeypatch):
    """Its signature takes what we hand over; here our reference stands in for its kernels."""
    signature = inspect.signature(importlib.import_module("gsplat").rasterization)
    names = {"near_plane": "near", "far_plane": "far"}

    def rasterization(**arguments):
        signature.bind(**arguments)
        assert arguments.pop("packed") is False
        arguments = {names.get(name, name): value for name, value in arguments.items()}
        images, alphas, info = rasterize_gaussians(**arguments, backend="reference")
        parts = ("means2d", "radii", "depths", "conics", "opacities")
        return images, alphas, {name: getattr(info, name) for name in parts}

    monkeypatch.setattr(gaussian_cuda, "require", lambda name: SimpleNamespace(rasterization=rasterization))
    rasterize = gaussian_cuda.rasterize_by_gsplat(otherwise=_in_torch, make_info=GaussianInfo)
    inputs = scene(dtype=torch.float32)
    shapes = inputs["quats"], inputs["scales"]
    background = torch.tensor([0.2, 0.4, 0.9])
    rest = [inputs[name] for name in ("means", "opacities", "colors", "viewmats", "Ks")]
    for mode in ("RGB", "RGB+ED", "D"):
        options = projection_options(*SIZE.values(), "antialiased", "gsplat", 0.5, 3.0, 0.4, 1.0)
        found = rasterize(shapes, *rest, None, background, mode, options)
        expected = _in_torch(
            shapes, *rest[:2], rest[2] if mode != "D" else rest[2][:, :0], *rest[3:], None,
            background if mode != "D" else None, mode, options,
        )  # fmt: skip
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
        assert torch.equal(found[2].radii, expected[2].radii)


@pytest.mark.parametrize(
    ("found", "kernels", "reason"),
    [
        (None, None, r"not installed: pip install 'dense3d\[splats\]'"),
        ("1.4.0", object(), "gsplat 1.4.0 leaves out more than 1.5 does"),
        ("1.5.3", None, "kernels are not built: .* nvcc"),
        ("1.10.0", object(), None),
    ],
)
def test_why_gsplat_cannot_be_used(monkeypatch, found, kernels, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gaussian_cuda.importlib.util, "find_spec", lambda name: found and object())
    monkeypatch.setattr(gaussian_cuda, "version", lambda name: found)
    monkeypatch.setattr(gaussian_cuda, "require", lambda name: SimpleNamespace(_C=kernels))
    why = gaussian_cuda.gsplat_unavailable()
    assert why is None if reason is None else re.search(reason, why)


def test_torch_on_cuda_is_said_once():
    gaussian_cuda.warn_of_torch.cache_clear()
    with pytest.warns(UserWarning, match="in torch, much slower than gsplat would: "):
        gaussian_cuda.warn_of_torch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaussian_cuda.warn_of_torch()


def test_what_gsplat_has_not_got_is_said_and_rendered_in_torch():
    """float64 and the paper's convention, each once; nothing to render needs no word."""
    gaussian_cuda.warn_of_torch.cache_clear()
    rasterize = gaussian_cuda.rasterize_by_gsplat(otherwise=_in_torch, make_info=GaussianInfo)

    def render(convention: str, dtype: torch.dtype, number: int = 60) -> None:
        inputs = scene(number, dtype=dtype)
        rest = [inputs[name] for name in ("means", "opacities", "colors", "viewmats", "Ks")]
        shape = inputs["quats"], inputs["scales"]
        options = projection_options(*SIZE.values(), "classic", convention, None, 1e10, 0.3, 0.0)
        images = rasterize(shape, *rest, None, None, "RGB", options)[0]
        expected = rasterize_gaussians(**inputs, **SIZE, convention=convention, backend="reference")[0]
        assert torch.equal(images, expected)

    for convention, dtype, reason in (
        ("gsplat", torch.float64, "has not got float64: cast"),
        ("inria", torch.float32, "has not got the convention 'inria'"),
    ):
        with pytest.warns(UserWarning, match=reason):
            render(convention, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            render(convention, dtype)
            render(convention, dtype, number=0)
