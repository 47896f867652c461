"""The parameters of a scene made of Gaussians, and what they mean once activated."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dense3d.errors import DataError
from dense3d.ops import gaussians_from_points, rasterize_gaussians
from dense3d.ops.gaussian_projection import covariances_reference
from dense3d.ops.gaussian_rasterization import GaussianInfo

NAMES = ("means", "log_scales", "quats", "opacity_logits", "sh0", "shN")
INITIAL_OPACITY = 0.1
COEFFICIENTS = {0: 0, 3: 1, 8: 2, 15: 3}  # of degree 1 and above -> degree


class Gaussians(nn.Module):
    """N Gaussians with raw parameters: scales and opacities before exp and sigmoid, quaternions as they are.

    Args:
        parameters: tensors by name; see Shape.
        antialiased: whether they are to be rendered with the filter of Mip-Splatting, as they were fitted.

    Shape:
        means (N, 3) in the world; log_scales (N, 3); quats (N, 4) in the order w, x, y, z; opacity_logits
        (N,); sh0 (N, 1, 3) and shN (N, K, 3) spherical harmonics of degree 0 and of 1 to 3, K in 0, 3, 8, 15.

    Raises:
        DataError: a tensor is missing or has another shape.

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.0, 2.0], [0.0, 0.1, 2.0], [0.1, 0.1, 2.0]])
        >>> made = Gaussians.from_points(points, torch.full((4, 3), 0.5), sh_degree=1)
        >>> len(made), made.sh_degree, made.opacities.mean().item()
        (4, 1, 0.10000000149011612)
    """

    def __init__(self, parameters: Mapping[str, Tensor], antialiased: bool = False) -> None:
        super().__init__()
        count = len(parameters["means"]) if "means" in parameters else 0
        shapes = dict(zip(NAMES, ((3,), (3,), (4,), (), (1, 3), (None, 3))))
        for name, shape in shapes.items():
            value = parameters.get(name)
            if value is None or value.ndim != len(shape) + 1 or len(value) != count:
                found = "nothing" if value is None else tuple(value.shape)
                raise DataError(f"Gaussians: {name} has a row for each of {count} Gaussians, not {found}")
            if any(size is not None and size != own for size, own in zip(shape, value.shape[1:])):
                raise DataError(f"Gaussians: {name} has the shape {tuple(value.shape)}, not (N, {shape})")
            setattr(self, name, nn.Parameter(value.detach().clone().float()))
        if self.shN.shape[1] not in COEFFICIENTS:
            raise DataError(f"Gaussians: shN has {self.shN.shape[1]} coefficients, not 0, 3, 8 or 15")
        self.antialiased = antialiased

    @classmethod
    def from_points(
        cls,
        points: Tensor,
        colors: Tensor,
        sh_degree: int = 3,
        opacity: float = INITIAL_OPACITY,
        scale: float = 1.0,
        antialiased: bool = False,
    ) -> Gaussians:
        """One Gaussian a point: round, as large as the distance to its three nearest neighbours.

        Args:
            points: (N, 3), at least four.
            colors: (N, 3) RGB in 0..1.
            sh_degree: of the colours; all but degree 0 begin as 0.
            opacity: of each.
            scale: factor of the sizes.
            antialiased: see the class.

        Raises:
            DataError: there are fewer than four points, or one is not finite.
        """
        if not len(points):
            raise DataError("there is no point to place a Gaussian at")
        start = gaussians_from_points(points, colors, opacity)
        return cls(
            {
                "means": start.means,
                "log_scales": start.log_scales + math.log(scale),
                "quats": start.quats,
                "opacity_logits": start.opacity_logits,
                "sh0": start.sh_dc[:, None],
                "shN": points.new_zeros(len(points), (sh_degree + 1) ** 2 - 1, 3),
            },
            antialiased,
        )

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics."""
        return COEFFICIENTS[self.shN.shape[1]]

    @property
    def scales(self) -> Tensor:
        """(N, 3) standard deviations along the Gaussians' own axes."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """(N,) in 0..1."""
        return self.opacity_logits.sigmoid()

    @property
    def sh(self) -> Tensor:
        """(N, 1 + K, 3) spherical harmonics of all degrees."""
        return torch.cat([self.sh0, self.shN], dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """The raw parameters by name, in a fixed order."""
        return {name: getattr(self, name) for name in NAMES}

    def render(
        self,
        viewmats: Tensor,
        Ks: Tensor,
        width: int,
        height: int,
        sh_degree: int | None = None,
        background: Tensor | None = None,
        render_mode: str = "RGB",
    ) -> tuple[Tensor, Tensor, GaussianInfo]:
        """Images of C cameras; see :func:`dense3d.ops.rasterize_gaussians`.

        Args:
            viewmats: (C, 4, 4) world to camera, OpenCV axes; on any device, as the other arguments.
            Ks: (C, 3, 3), the corner of the first pixel is the origin.
            width, height: pixels.
            sh_degree: degree that is used; all of them unless given.
            background: (3,) RGB.
            render_mode: "RGB", "RGB+ED", ...

        Returns:
            images (C, H, W, channels), alphas (C, H, W, 1), and what density control needs.
        """
        degree = self.sh_degree if sh_degree is None else min(sh_degree, self.sh_degree)
        return rasterize_gaussians(
            self.means,
            self.quats,
            self.scales,
            self.opacities,
            torch.cat([self.sh0, self.shN[:, : (degree + 1) ** 2 - 1]], dim=1),
            viewmats.to(self.means),
            Ks.to(self.means),
            width,
            height,
            sh_degree=degree,
            render_mode=render_mode,
            backgrounds=None if background is None else background.to(self.means).expand(len(viewmats), 3),
            rasterize_mode="antialiased" if self.antialiased else "classic",
        )

    def covariances(self) -> Tensor:
        """(N, 3, 3) in the world."""
        return covariances_reference(self.quats, self.scales)

    def are_finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return all(bool(torch.isfinite(value).all()) for value in self.tensors().values())
