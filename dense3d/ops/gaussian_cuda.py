"""Rasterisation of Gaussians on CUDA by gsplat, where it is installed and its kernels are built.

gsplat's wheel holds no kernels: it compiles them at its first import with the CUDA toolkit.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor

from dense3d.ops.dispatch import backends
from dense3d.ops.gaussian_conventions import Projection
from dense3d.optional import require

OLDEST = (1, 5)


def gsplat_unavailable() -> str | None:
    """Why gsplat cannot be used; None where it can. Compiles its kernels where that is possible."""
    if not torch.cuda.is_available():
        return "this machine has no CUDA device"
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed: pip install 'dense3d[splats]'"
    found = version("gsplat")
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        return f"gsplat {found} leaves out more than 1.5 does: pip install 'gsplat>=1.5.3'"
    try:
        kernels = require("gsplat.cuda._backend")._C
    except Exception as error:  # of a compiler, a linker or a loader
        return f"gsplat's kernels cannot be built ({error})"
    if kernels is None:
        return "gsplat's kernels are not built: it compiles them at its first import with CUDA's nvcc"
    return None


@functools.cache
def warn_of_torch(reason: str | None = None) -> None:
    """Say once that torch does on CUDA what kernels would do many times faster, and why.

    Args:
        reason: by default why gsplat cannot be used here.
    """
    rows = backends("rasterize_gaussians") if reason is None else ()
    reason = reason or "; ".join(row.reason for row in rows if row.backend == "gsplat")
    warnings.warn(
        f"rasterize_gaussians runs tile by tile in torch, much slower than gsplat would: {reason}",
        stacklevel=3,
    )


def rasterize_by_gsplat(otherwise: Callable, make_info: Callable) -> Callable:
    """An implementation of :func:`dense3d.ops.rasterize_gaussians`.

    Args:
        otherwise: the implementation of what gsplat has not got: float64, the convention ``"inria"``, no
            Gaussians or cameras at all.
        make_info: the third result, of keyword arguments.
    """

    def rasterize(
        covars: Tensor | tuple[Tensor, Tensor],
        means: Tensor,
        opacities: Tensor,
        colors: Tensor,
        viewmats: Tensor,
        Ks: Tensor,
        sh_degree: int | None,
        backgrounds: Tensor | None,
        render_mode: str,
        options: Projection,
    ) -> tuple:
        empty = 0 in (len(means), len(viewmats))
        double = means.dtype == torch.float64
        if empty or double or options.convention.square_boxes:
            if not empty:
                lacking = "float64: cast what is of it to float32" if double else "the convention 'inria'"
                warn_of_torch(f"it has not got {lacking}")
            arguments = (covars, means, opacities, colors, viewmats, Ks, sh_degree, backgrounds)
            return otherwise(*arguments, render_mode, options)
        quats, scales = covars if isinstance(covars, tuple) else (None, None)
        depth_alone = "RGB" not in render_mode
        if backgrounds is not None:
            backgrounds = backgrounds.expand(len(viewmats), backgrounds.shape[-1]).contiguous()
        images, alphas, meta = require("gsplat").rasterization(
            means=means,
            quats=quats,
            scales=scales,
            opacities=opacities,
            colors=means if depth_alone else colors,  # not looked at for depth alone
            viewmats=viewmats,
            Ks=Ks,
            width=options.width,
            height=options.height,
            near_plane=options.near,
            far_plane=options.far,
            radius_clip=options.radius_clip,
            eps2d=options.eps2d,
            sh_degree=sh_degree,
            packed=False,
            backgrounds=None if depth_alone else backgrounds,
            render_mode=render_mode,
            rasterize_mode="antialiased" if options.antialiased else "classic",
            covars=None if quats is not None else covars,
        )
        parts = {name: meta[name] for name in ("means2d", "radii", "depths", "conics", "opacities")}
        size = dict(width=options.width, height=options.height)
        return images, alphas, make_info(**parts, **size, colors=None, counts=None)

    return rasterize
