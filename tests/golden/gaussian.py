"""Golden adapter of Gaussian splats (system ``gaussian``): rasterisation, photometric loss, initialisation.

The config says the size of pictures, the degree of the harmonics, the dilation and the size of tiles; checks
named ``gsplat`` and ``inria`` follow these conventions, and ``antialiased`` in the name is that mode.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d import ops
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit

Tensors = dict[str, Tensor]
PARAMETERS = ("means", "log_scales", "quats", "covars", "opacity_logits", "sh", "colors")
SEED = 77  # of the random weights of a loss, plus the camera


def open_kit(kit: GoldenKit) -> Run:
    """A runner for the sizes and options of the kit; there are no weights."""
    size = dict(width=int(kit.options.take("width")), height=int(kit.options.take("height")))
    options = size | dict(
        sh_degree=int(kit.options.take("sh_degree")),
        eps2d=float(kit.options.take("eps2d", 0.3)),
        tile_size=int(kit.options.take("tile_size", 16)),
        near=kit.options.take("near", None),
        far=float(kit.options.take("far", 1e10)),
        radius_clip=float(kit.options.take("radius_clip", 0.0)),
    )

    def render(check: dict, inputs: Tensors) -> Tensors:
        mode = "antialiased" if "antialiased" in check["name"] else "classic"
        convention = "inria" if check["name"].startswith("inria") else "gsplat"
        return rendered(inputs, dict(options, rasterize_mode=mode, convention=convention))

    rules = {"gsplat": render, "inria": render}
    return by_name(rules | {"photometric_loss": _photometric, "initialisation": _initial})


def rendered(inputs: Tensors, options: dict) -> Tensors:
    """By the compiled path in double precision, as the kit was computed.

    Raises:
        AssertionError: the reference gives something else, or single precision does beyond its rounding,
            which may move a few pixels over a threshold.
    """
    double = {name: value.double() for name, value in inputs.items()}
    found = _render(double, options, None)
    assert_agreement(_render(double, options, "reference"), found, 1e-8)
    single = {name: value.float() for name, value in inputs.items()}
    assert_agreement(_render(single, options, None), found, 1e-3, share=2e-3)
    return found


def assert_agreement(found: Tensors, expected: Tensors, tolerance: float, share: float = 0.0) -> None:
    """All values within a tolerance, relative to the largest of an output, but for a share of them."""
    for name, truth in expected.items():
        error = (found[name].detach().double() - truth.detach().double()).abs()
        beyond = error > tolerance * float(truth.detach().abs().max()) if truth.numel() else error > 0
        assert float(beyond.double().sum()) <= share * beyond.numel(), f"{name} differs by {error.max():.2e}"


@torch.enable_grad()
def _render(inputs: Tensors, options: dict, backend: str | None) -> Tensors:
    leaves = {name: inputs[name].clone().requires_grad_() for name in PARAMETERS if name in inputs}
    if "sh" not in leaves:
        options = dict(options, sh_degree=None)
    images, alphas, info = ops.rasterize_gaussians(
        leaves["means"],
        leaves.get("quats"),
        leaves["log_scales"].exp() if "log_scales" in leaves else None,
        leaves["opacity_logits"].sigmoid(),
        leaves.get("sh", leaves.get("colors")),
        inputs["viewmats"],
        inputs["Ks"],
        render_mode="RGB+D",
        backgrounds=inputs.get("background"),
        covars=leaves.get("covars"),
        backend=backend,
        **options,
    )
    info.means2d.retain_grad()
    image, depth, alpha = images[..., :-1], images[..., -1], alphas[..., 0]
    loss = weighted_sum(image, alpha, depth)
    loss.backward()
    return {
        "image": image,
        "alpha": alpha,
        "depth": depth,
        "means2d": info.means2d,
        "conics": info.conics,
        "z": info.depths,
        "radii": info.radii.long(),
        "colors": info.colors,
        "count": info.counts.long(),
        "loss": loss,
        "grad_means2d": info.means2d.grad,
        **{f"grad_{name}": leaf.grad for name, leaf in leaves.items()},
    }


def weighted_sum(image: Tensor, alpha: Tensor, depth: Tensor) -> Tensor:
    """The loss of the kit: pictures times random weights, which differ from camera to camera."""
    total = image.new_zeros(())
    for camera in range(len(image)):
        random = np.random.default_rng(SEED + camera)
        for part, factor in ((image, 1.0), (alpha, 0.5), (depth, 0.2)):
            weights = torch.from_numpy(random.normal(0, 1, part.shape[1:])).to(part.dtype)
            total = total + factor * (part[camera] * weights).sum()
    return total


def _photometric(_check: dict, inputs: Tensors) -> Tensors:
    render = inputs["render"].requires_grad_()
    with torch.enable_grad():
        found = ops.photometric_loss(render, inputs["target"])
        found.loss.backward()
    return {**found._asdict(), "grad_render": render.grad}


def _initial(_check: dict, inputs: Tensors) -> Tensors:
    return ops.gaussians_from_points(inputs["points"], inputs["colors"])._asdict()
