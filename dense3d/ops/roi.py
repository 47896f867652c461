"""Pooling of regions of interest: RoI Align, its rotated and deformable forms, and RoI Pool.

RoI Align: He et al., "Mask R-CNN", ICCV 2017; RoI Pool: Girshick, "Fast R-CNN", ICCV 2015; deformable RoI
pooling: Dai et al., "Deformable Convolutional Networks", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor
from torch.nn.modules.utils import _pair as pair

from dense3d.ops.dispatch import register_backend, select_backend
from dense3d.ops.sampling import bilinear_corners, weighted_pixel_sums

CORNERS_AT_ONCE = 4_000_000  # bounds the memory for positions and weights


def roi_align(
    x: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = "avg",
    aligned: bool = True,
) -> Tensor:
    """Average (or maximum) of bilinear samples in each bin of each region.

    Args:
        x: features ``(B, C, H, W)``.
        rois: ``(K, 5)`` as ``(batch index, x1, y1, x2, y2)`` in image pixels.
        output_size: bins ``(rows, columns)``.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 takes one per feature pixel.
        pool_mode: ``"avg"`` or ``"max"``.
        aligned: pixel centres lie at half coordinates; ``False`` is the older rule without that shift,
            with regions of one pixel at least.

    Returns:
        ``(K, C, rows, columns)``; differentiates with respect to ``x``.

    Raises:
        ValueError: ``pool_mode`` is another word.

    Example:
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> roi_align(x, torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), 2)[0, 0].tolist()
        [[2.5, 4.5], [10.5, 12.5]]
    """
    name = None if pool_mode == "avg" else "reference"
    implementation = select_backend("roi_align", x.device.type, name).implementation
    return implementation(x, rois, output_size, spatial_scale, sampling_ratio, pool_mode, aligned)


def _roi_align_torchvision(
    x, rois, output_size, spatial_scale, sampling_ratio, _pool_mode, aligned
) -> Tensor:
    precise = _precise(x)
    pooled = torchvision.ops.roi_align(
        precise, rois.to(precise), pair(output_size), spatial_scale, sampling_ratio, aligned
    )
    return pooled.to(x)


def roi_align_reference(
    x: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = "avg",
    aligned: bool = True,
) -> Tensor:
    """:func:`roi_align` in torch, for both pooling modes; it defines the result."""
    if pool_mode not in ("avg", "max"):
        raise ValueError(f"pool_mode must be 'avg' or 'max', not {pool_mode!r}")
    corners = rois[:, 1:].detach().to(_precise(x)) * spatial_scale - (0.5 if aligned else 0.0)
    size = corners[:, 2:] - corners[:, :2]
    size = size if aligned else size.clamp(min=1)

    def positions(members: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        start, extent = _spread(corners[members]), _spread(size[members])
        return start[0] + u * extent[0], start[1] + v * extent[1]

    return _pool_grids(x, rois[:, 0], size, positions, pair(output_size), sampling_ratio, pool_mode)


def roi_align_rotated(
    x: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
    clockwise: bool = False,
) -> Tensor:
    """:func:`roi_align` of rotated regions.

    Args:
        x: features ``(B, C, H, W)``.
        rois: ``(K, 6)`` as ``(batch index, cx, cy, w, h, angle)`` in image pixels and radians.
        output_size: bins ``(rows, columns)``.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 takes one per feature pixel.
        aligned: as in :func:`roi_align`.
        clockwise: whether positive angles turn from x towards y (clockwise on the screen).

    Returns:
        ``(K, C, rows, columns)``; differentiates with respect to ``x``.

    Example:
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> quarter = torch.tensor([[0.0, 2.0, 2.0, 4.0, 4.0, torch.pi / 2]])
        >>> roi_align_rotated(x, quarter, 2, clockwise=True)[0, 0].round(decimals=4).tolist()
        [[4.5, 12.5], [2.5, 10.5]]
    """
    rois = rois.detach().to(_precise(x))
    centre = rois[:, 1:3] * spatial_scale - (0.5 if aligned else 0.0)
    size = rois[:, 3:5] * spatial_scale
    size = size if aligned else size.clamp(min=1)
    angle = rois[:, 5] if clockwise else -rois[:, 5]

    def positions(members: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        middle, extent = _spread(centre[members]), _spread(size[members])
        cosine, sine = _spread(torch.stack([angle[members].cos(), angle[members].sin()], 1))
        right, down = (u - 0.5) * extent[0], (v - 0.5) * extent[1]
        return middle[0] + right * cosine - down * sine, middle[1] + right * sine + down * cosine

    return _pool_grids(x, rois[:, 0], size, positions, pair(output_size), sampling_ratio, "avg")


def deform_roi_pool(
    x: Tensor,
    rois: Tensor,
    offset: Tensor | None,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    gamma: float = 0.1,
) -> Tensor:
    """Aligned :func:`roi_align` whose bins are moved by an offset each.

    Args:
        x: features ``(B, C, H, W)``.
        rois: ``(K, 5)`` as ``(batch index, x1, y1, x2, y2)`` in image pixels.
        offset: ``(K, 2, rows, columns)``, x then y, in units of ``gamma`` times the region's size;
            ``None`` for none.
        output_size: bins ``(rows, columns)``.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 takes one per feature pixel.
        gamma: see ``offset``.

    Returns:
        ``(K, C, rows, columns)``; differentiates with respect to ``x`` and ``offset``. The gradient is that
        of the value; mmcv's kernel leaves out that samples outside of the outermost pixel centres are
        clamped to them, so its ``offset`` gradient differs for bins that reach there.

    Example:
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> rois, offset = torch.tensor([[0.0, 1.0, 1.0, 3.0, 3.0]]), torch.full((1, 2, 1, 1), 1.0)
        >>> round(deform_roi_pool(x, rois, offset, 1).item() - deform_roi_pool(x, rois, None, 1).item(), 4)
        1.0
    """
    corners = rois[:, 1:].detach().to(_precise(x)) * spatial_scale - 0.5
    size = corners[:, 2:] - corners[:, :2]

    def positions(members: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        start, extent = _spread(corners[members]), _spread(size[members])
        if offset is not None:
            shift = gamma * offset[members].to(corners)[..., None, None]  # (k, 2, rows, columns, 1, 1)
            u, v = u + shift[:, 0], v + shift[:, 1]
        return start[0] + u * extent[0], start[1] + v * extent[1]

    return _pool_grids(x, rois[:, 0], size, positions, pair(output_size), sampling_ratio, "avg")


def roi_pool(
    x: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """Maximum of the feature pixels that each bin of each region touches.

    A region includes its last pixel, ``x2 + 1`` being its end, and is not rounded to whole feature pixels
    first; that is mmcv's rule, torchvision rounds.

    Args:
        x: features ``(B, C, H, W)``.
        rois: ``(K, 5)`` as ``(batch index, x1, y1, x2, y2)`` in image pixels.
        output_size: bins ``(rows, columns)``.
        spatial_scale: feature pixels per image pixel.

    Returns:
        ``(K, C, rows, columns)``, 0 for bins outside of the features; differentiates with respect to ``x``.

    Example:
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> roi_pool(x, torch.tensor([[0.0, 0.0, 0.0, 3.0, 3.0]]), 2)[0, 0].tolist()
        [[5.0, 7.0], [13.0, 15.0]]
    """
    argmax = roi_pool_argmax(x, rois, output_size, spatial_scale)  # (K, C, rows, columns)
    planes = x.flatten(2)[rois[:, 0].long()]  # (K, C, H * W)
    pooled = planes.gather(2, argmax.flatten(2).clamp(min=0)).view_as(argmax)
    return torch.where(argmax >= 0, pooled, 0)


@torch.no_grad()
def roi_pool_argmax(
    x: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """Position ``y * W + x`` of each maximum of :func:`roi_pool` ``(K, C, rows, columns)``, -1 for none."""
    (rows, columns), (channels, height, width) = pair(output_size), x.shape[1:]
    start = rois[:, 1:3] * spatial_scale
    extent = (rois[:, 3:5] + 1) * spatial_scale - start
    x1, x2 = _bin_borders(start[:, 0], extent[:, 0], columns, width)  # (K, columns)
    y1, y2 = _bin_borders(start[:, 1], extent[:, 1], rows, height)  # (K, rows)
    x2 = torch.where((extent > 0).all(1)[:, None], x2, x1)
    vectors = x.permute(0, 2, 3, 1).flatten(0, 2)  # (B * H * W, C)
    first = rois[:, 0].long()[:, None, None] * height * width
    best = x.new_full((len(rois), rows, columns, channels), -torch.inf)
    argmax = torch.full_like(best, -1, dtype=torch.long)
    for dy in range(_largest(y2 - y1)):
        for dx in range(_largest(x2 - x1)):
            ys, xs = (y1 + dy)[:, :, None], (x1 + dx)[:, None, :]
            touched = ((ys < y2[:, :, None]) & (xs < x2[:, None, :]))[..., None]
            position = (ys * width + xs).clamp(max=height * width - 1)  # (K, rows, columns)
            value = vectors[first + position]  # (K, rows, columns, C)
            better = touched & (value > best)
            best = torch.where(better, value, best)
            argmax = torch.where(better, position[..., None], argmax)
    return argmax.permute(0, 3, 1, 2).contiguous()


def _bin_borders(start: Tensor, extent: Tensor, bins: int, limit: int) -> tuple[Tensor, Tensor]:
    number = torch.arange(bins, device=start.device)
    low = (start[:, None] + number * (extent / bins)[:, None]).floor()
    high = (start[:, None] + (number + 1) * (extent / bins)[:, None]).ceil()
    return low.clamp(0, limit).long(), high.clamp(0, limit).long()


def _largest(sizes: Tensor) -> int:
    return max(int(sizes.max()), 0) if sizes.numel() else 0


def _pool_grids(
    x: Tensor,
    batch_index: Tensor,
    size: Tensor,
    positions: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
    output_size: tuple[int, int],
    sampling_ratio: int,
    pool_mode: str,
) -> Tensor:
    """Sample every bin on a regular grid and pool the samples.

    Args:
        x: features ``(B, C, H, W)``.
        batch_index: ``(K,)``.
        size: of the regions ``(K, 2)``, width and height in feature pixels.
        positions: maps region numbers ``(k,)`` and fractions of the width and height, which broadcast to
            ``(k, rows, columns, samples down, samples across)``, to feature pixels.
        output_size, sampling_ratio, pool_mode: as in :func:`roi_align`.

    Regions with the same number of samples are pooled together.
    """
    rows, columns = output_size
    grid = torch.full_like(size, sampling_ratio)  # (K, 2) samples across and down
    if sampling_ratio <= 0:
        grid = (size / size.new_tensor([columns, rows])).ceil().clamp(min=0)
    grid = grid.long()
    features = _precise(x)
    members, parts = [], []
    for across, down in grid.unique(dim=0).tolist():
        group = (grid == grid.new_tensor([across, down])).all(1).nonzero().flatten()
        samples = across * down
        at_once = max(1, CORNERS_AT_ONCE // max(1, 4 * samples * rows * columns))
        for some in group.split(at_once):
            members.append(some)
            if samples == 0:
                parts.append(features.new_zeros(len(some), rows, columns, x.shape[1]))
                continue
            u = _fractions(columns, across, size)[None, None, :, None, :]
            v = _fractions(rows, down, size)[None, :, None, :, None]
            parts.append(_pool_samples(features, batch_index[some], *positions(some, u, v), pool_mode))
    if not parts:
        return x.new_zeros(0, x.shape[1], rows, columns)
    order = torch.cat(members).argsort()
    return torch.cat(parts)[order].permute(0, 3, 1, 2).to(x).contiguous()


def _pool_samples(features: Tensor, batch_index: Tensor, xs: Tensor, ys: Tensor, pool_mode: str) -> Tensor:
    """``(k, rows, columns, C)`` from positions that broadcast to ``(k, rows, columns, down, across)``."""
    height, width = features.shape[2:]
    xs, ys = (t.flatten(3) for t in torch.broadcast_tensors(xs, ys))  # (k, rows, columns, S)
    index, weight = bilinear_corners(xs, ys, height, width)  # (k, rows, columns, S, 4)
    index = index + batch_index.long()[:, None, None, None, None] * (height * width)
    if pool_mode == "max":
        return weighted_pixel_sums(features, index, weight).max(3).values
    return weighted_pixel_sums(features, index.flatten(3), weight.flatten(3) / xs.shape[3])


def _fractions(bins: int, samples: int, like: Tensor) -> Tensor:
    """Where the samples of each bin lie, in fractions of the region: ``(bins, samples)``."""
    steps = torch.arange(bins * samples, device=like.device, dtype=like.dtype).view(bins, samples)
    return (steps + 0.5) / (bins * samples)


def _spread(columns: Tensor) -> tuple[Tensor, ...]:
    """Columns of ``(k, n)``, each as ``(k, 1, 1, 1, 1)``."""
    return tuple(column[:, None, None, None, None] for column in columns.unbind(1))


def _precise(x: Tensor) -> Tensor:
    """Half precision cannot hold coordinates: float32 then."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


register_backend("roi_align", "torchvision", implementation=_roi_align_torchvision)
register_backend("roi_align", "reference", implementation=roi_align_reference)
register_backend("roi_align_rotated", "torch", implementation=roi_align_rotated)
register_backend("deform_roi_pool", "torch", implementation=deform_roi_pool)
register_backend("roi_pool", "torch", implementation=roi_pool)
