"""Rotary position embedding: pairs of channels of queries and keys are turned by the position's angle.

Su et al., "RoFormer", 2021; the axial form for images is that of DINOv3 (Siméoni et al., 2025).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid

Rotation = tuple[Tensor, Tensor]  # sines and cosines: (N, head_dim) each, or see rotate()


def rotate(x: Tensor, rotation: Rotation, num_prefix: int = 0) -> Tensor:
    """Turn channel k of each token with channel k + d / 2; the first ``num_prefix`` tokens stay.

    Args:
        x: queries or keys ``(B, M, P + N, d)``.
        rotation: sines and cosines ``(N, d)``; everything passes through their dtype, the prefix too. With
            ``(N, p, d / p)`` or ``(B, 1, N, p, d / p)``, a head is p parts one behind the other, and channel
            k of a part turns with channel k + d / 2p of the same part.
        num_prefix: P, tokens without a position.

    Example:
        >>> quarter = torch.ones(1, 2), torch.zeros(1, 2)
        >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), quarter).tolist()
        [[[[0.0, 1.0]]]]
    """
    sin, cos = rotation
    dtype, x = x.dtype, x.to(sin.dtype)
    prefix, rest = x[..., :num_prefix, :], x[..., num_prefix:, :]
    in_parts = sin.shape[-1] != x.shape[-1]
    if in_parts:
        rest = rest.unflatten(-1, sin.shape[-2:])  # (B, M, N, p, d / p)
    first, second = rest.chunk(2, dim=-1)
    rest = rest * cos + torch.cat([-second, first], dim=-1) * sin
    rest = rest.flatten(-2) if in_parts else rest
    return (torch.cat([prefix, rest], dim=-2) if num_prefix else rest).to(dtype)


class AxialRope(nn.Module):
    """Rotations of a patch grid: half of the angles come from the row, half from the column.

    ``angle = 2 pi c / period`` with cell centres ``c`` in [-1, 1], so that positions are relative to the
    image and any grid fits. In training mode the coordinates may be shifted, stretched along each axis and
    scaled as a whole, anew in every call.

    Args:
        head_dim: channels of a head, a multiple of four.
        base: periods are ``base ** (2 k / (head_dim / 2))``.
        min_period, max_period: geometric periods from one to the other, both included, instead of ``base``.
        normalize: ``"separate"`` divides rows by the height and columns by the width; ``"max"`` and ``"min"``
            divide both by the longer or shorter side.
        shift: largest shift of either coordinate while training.
        jitter: largest factor of either coordinate while training.
        rescale: largest common factor while training.
        dtype: of the table and of the rotation.

    Raises:
        ConfigError: ``head_dim`` is no multiple of four, ``normalize`` is not one of the three, there are no
            periods, or a limit makes none: periods and factors are positive.

    Example:
        >>> sin, cos = AxialRope(8)((3, 4))
        >>> sin.shape, bool((sin**2 + cos**2 - 1).abs().max() < 1e-5)
        (torch.Size([12, 8]), True)
    """

    def __init__(
        self,
        head_dim: int,
        base: float | None = 100.0,
        min_period: float | None = None,
        max_period: float | None = None,
        normalize: str = "separate",
        shift: float | None = None,
        jitter: float | None = None,
        rescale: float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if head_dim % 4:
            raise ConfigError(
                f"axial rotary embedding needs heads of a multiple of 4 channels, not {head_dim}"
            )
        if normalize not in ("separate", "max", "min"):
            raise ConfigError(f"normalize={normalize!r}: use 'separate', 'max' or 'min'")
        for name, value in dict(shift=shift, jitter=jitter, rescale=rescale).items():
            if value is not None and not (value >= 0 if name == "shift" else value >= 1):
                least = "0, the largest shift" if name == "shift" else "1, the largest factor"
                raise ConfigError(f"{name}={value} of a rotary embedding is less than {least}")
        self.normalize, self.shift, self.jitter, self.rescale = normalize, shift, jitter, rescale
        self.register_buffer("periods", _periods(head_dim, base, min_period, max_period, dtype))

    def forward(self, grid: Grid) -> Rotation:
        """Sines and cosines ``(h * w, head_dim)`` of the cells of a grid, in row-major order."""
        draws = self._draw() if self.training else (None, None, None)
        return self.rotation(self.coordinates(grid, *draws))

    def coordinates(
        self,
        grid: Grid,
        shift: Tensor | None = None,
        log_jitter: Tensor | None = None,
        log_rescale: Tensor | None = None,
    ) -> Tensor:
        """Cell centres ``(h * w, 2)`` as (row, column), after the given augmentations.

        Args:
            grid: rows and columns.
            shift: ``(2,)``, added.
            log_jitter: ``(2,)``, logarithm of a factor for each axis.
            log_rescale: ``(1,)``, logarithm of a factor for both.
        """
        side = {"separate": grid, "max": (max(grid),) * 2, "min": (min(grid),) * 2}[self.normalize]
        options = {"device": self.periods.device, "dtype": self.periods.dtype}
        axes = [torch.arange(0.5, n, **options) / s for n, s in zip(grid, side)]
        cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
        cells = 2.0 * cells - 1.0
        if shift is not None:
            cells = cells + shift
        for log_factor in (log_jitter, log_rescale):
            if log_factor is not None:
                cells = cells * log_factor.exp()
        return cells

    def rotation(self, coordinates: Tensor) -> Rotation:
        """Sines and cosines ``(N, head_dim)`` of positions ``(N, 2)``."""
        angles = 2 * math.pi * coordinates[:, :, None] / self.periods  # (N, 2, d / 4)
        angles = angles.flatten(1).tile(2)  # (N, d): channel k and k + d / 2 share an angle
        return angles.sin(), angles.cos()

    def _draw(self) -> tuple[Tensor | None, ...]:
        def uniform(limit: float | None, count: int, log: bool) -> Tensor | None:
            if limit is None:
                return None
            limit = math.log(limit) if log else limit
            return torch.empty(count, device=self.periods.device, dtype=self.periods.dtype).uniform_(
                -limit, limit
            )

        return uniform(self.shift, 2, False), uniform(self.jitter, 2, True), uniform(self.rescale, 1, True)


def _periods(
    head_dim: int, base: float | None, low: float | None, high: float | None, dtype: torch.dtype
) -> Tensor:
    count = head_dim // 4
    if (low is None) != (high is None):
        raise ConfigError("rotary embedding needs min_period and max_period, but has one of them only")
    if low is not None and high is not None:
        if not 0 < low <= high:
            raise ConfigError(f"min_period={low} and max_period={high} must be positive and ascending")
        return low * (high / low) ** torch.linspace(0, 1, count, dtype=dtype)
    if base is None or base <= 0:
        raise ConfigError("rotary embedding needs a positive base, or min_period and max_period")
    return base ** (2 * torch.arange(count, dtype=dtype) / (head_dim // 2))
