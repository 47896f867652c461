"""Multi-scale deformable attention: sample a feature pyramid at a few learnt locations for each query.

Equation 2 of Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection",
ICLR 2021.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.ops.dispatch import register_backend, select_backend

SpatialShapes = Tensor | Sequence[tuple[int, int]]
CHANNELS_AT_ONCE = 512  # numba's tuples, by whose length the kernels know the channels, end at 1,000


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    level_start_index: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Weighted sum of the value map, bilinearly sampled at each query's locations on every level.

    Outside a level the value is zero; ``align_corners`` is False: pixel ``i`` of ``n`` has its centre at
    ``(i + 0.5) / n``. Computed in float32, or in float64 when ``value`` is; the result has the dtype of
    ``value``, and under autocast it stays in float32, as the official CUDA operator does it.

    Args:
        value: ``(B, S, M, D)``, the levels' pixels one after the other in row-major order, M heads.
        spatial_shapes: height and width of the L levels, ``(L, 2)`` or a list of pairs, ``S = sum(h * w)``.
        sampling_locations: ``(B, Q, M, L, P, 2)`` as (x, y), from 0 to 1 across the level.
        attention_weights: ``(B, Q, M, L, P)``.
        level_start_index: first pixel of each level ``(L,)``, where it is at hand; it follows from
            ``spatial_shapes``.
        backend: use this implementation (:func:`dense3d.ops.backends` lists them) instead of the best.

    Returns:
        ``(B, Q, M * D)``.

    Raises:
        ValueError: the shapes do not fit together.
        OperatorUnavailableError: ``backend`` cannot be used here, or a second derivative is asked for.

    Example:
        >>> value = torch.arange(6.0).view(1, 6, 1, 1)  # one level of 2 x 3 pixels
        >>> centre_of_last_pixel = torch.tensor([2.5 / 3, 0.75]).view(1, 1, 1, 1, 1, 2)
        >>> multi_scale_deformable_attention(value, [(2, 3)], centre_of_last_pixel, torch.ones(1, 1, 1, 1, 1))
        tensor([[[5.]]])
    """
    _check_shapes(value, spatial_shapes, sampling_locations, attention_weights)
    device = value.device.type
    name = "reference" if backend is None and _needs_torch_operators() else backend
    implementation = select_backend("multi_scale_deformable_attention", device, name).implementation
    dtype = torch.float64 if value.dtype == torch.float64 else torch.float32
    tensors = (value.to(dtype), sampling_locations.to(dtype), attention_weights.to(dtype))
    if device != "meta" and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            return implementation(tensors[0], spatial_shapes, *tensors[1:], level_start_index)
    return implementation(tensors[0], spatial_shapes, *tensors[1:], level_start_index).to(value.dtype)


def multi_scale_deformable_attention_reference(
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    level_start_index: Tensor | None = None,
) -> Tensor:
    """The definition of :func:`multi_scale_deformable_attention` by ``grid_sample``; same arguments.

    Example:
        >>> value, weights = torch.ones(1, 6, 1, 2), torch.full((1, 1, 1, 1, 2), 0.5)
        >>> locations = torch.tensor([[0.5, 0.5], [0.0, 0.5]])  # the second lies on the border
        >>> locations = locations.view(1, 1, 1, 1, 2, 2)
        >>> multi_scale_deformable_attention_reference(value, [(2, 3)], locations, weights)
        tensor([[[0.7500, 0.7500]]])
    """
    batch, num_keys, num_heads, channels = value.shape
    if isinstance(spatial_shapes, Tensor):
        spatial_shapes = spatial_shapes.cpu()  # the sizes are read one by one: wait for the device once
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    if sum(height * width for height, width in shapes) != num_keys:
        raise ValueError(f"spatial_shapes {shapes} do not hold the {num_keys} pixels that value has")
    levels = value.split([height * width for height, width in shapes], dim=1)
    grids = (2 * sampling_locations - 1).transpose(1, 2).flatten(0, 1)  # (B * M, Q, L, P, 2)
    weights = attention_weights.transpose(1, 2).flatten(0, 1)  # (B * M, Q, L, P)
    output = value.new_zeros(batch * num_heads, channels, grids.shape[1])
    if output.numel() == 0 or num_keys == 0:  # keeps the graph: the gradients are zeros, not None
        return (output.sum() + value.sum() * 0 + grids.sum() * 0 + weights.sum() * 0).expand(
            batch, grids.shape[1], num_heads * channels
        )
    for index, (level, (height, width)) in enumerate(zip(levels, shapes)):
        if height * width == 0:
            continue
        feature_map = level.permute(0, 2, 3, 1).reshape(batch * num_heads, channels, height, width)
        grid = _kept_inside(grids[:, :, index], height, width)
        samples = F.grid_sample(feature_map, grid, align_corners=False)  # (B * M, D, Q, P)
        output = output + (samples * weights[:, None, :, index]).sum(-1)
    return output.view(batch, num_heads * channels, -1).transpose(1, 2)


def _kept_inside(grid: Tensor, height: int, width: int) -> Tensor:
    """Move points that lie a pixel or more outside, or nowhere, far off.

    ``grid_sample`` reads zeros there too, but at exactly one pixel outside it has the gradient of the side
    towards the image, where the official operator has none; and NaN goes through it.
    """
    size = grid.new_tensor([width, height])
    pixel = (grid + 1) * (size / 2) - 0.5
    inside = ((pixel > -1) & (pixel < size)).all(-1, keepdim=True)
    return torch.where(inside, grid, -3)


def _check_shapes(value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> None:
    expected = (value.shape[0], None, *value.shape[2:3], len(spatial_shapes), None, 2)
    fits = (
        value.ndim == 4
        and locations.ndim == 6
        and all(e is None or n == e for n, e in zip(locations.shape, expected))
        and weights.shape == locations.shape[:-1]
    )
    if not fits:
        raise ValueError(
            f"value {tuple(value.shape)}, {len(spatial_shapes)} levels, sampling_locations "
            f"{tuple(locations.shape)} and attention_weights {tuple(weights.shape)} do not fit: need "
            f"(B, S, M, D), L levels, (B, Q, M, L, P, 2) and (B, Q, M, L, P)"
        )


def _needs_torch_operators() -> bool:
    """Exported programs run where dense3d is missing; torch.func transforms know torch's operators only."""
    is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)
    exporting = torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or is_exporting()
    return exporting or torch._C._are_functorch_transforms_active()


def _to_tensor(spatial_shapes: SpatialShapes, device: torch.device) -> Tensor:
    return torch.as_tensor(spatial_shapes, dtype=torch.long, device=device).view(-1, 2)


def _numba(value, spatial_shapes, sampling_locations, attention_weights, level_start_index=None) -> Tensor:
    from dense3d.ops.deformable_attention_cpu import deformable_attention

    inputs = _to_tensor(spatial_shapes, value.device), sampling_locations, attention_weights
    if value.shape[3] <= CHANNELS_AT_ONCE:
        return deformable_attention(value, *inputs)
    parts = [deformable_attention(part, *inputs) for part in value.split(CHANNELS_AT_ONCE, dim=3)]
    heads = [part.unflatten(2, (value.shape[2], -1)) for part in parts]  # (B, Q, M, d)
    return torch.cat(heads, dim=3).flatten(2)


def _numba_unavailable() -> str | None:
    try:
        importlib.import_module("dense3d.ops.deformable_attention_kernels")
    except Exception as error:  # numba checks its NumPy and its LLVM at import, with errors of many types
        return f"numba cannot be imported ({error})"
    return None


def _starts(shapes: Tensor, level_start_index: Tensor | None) -> Tensor:
    if level_start_index is not None:
        return level_start_index
    areas = shapes.prod(1)
    return areas.cumsum(0) - areas


def _deformops(
    value, spatial_shapes, sampling_locations, attention_weights, level_start_index=None
) -> Tensor:
    from deformops.registry import msda

    shapes = _to_tensor(spatial_shapes, value.device)
    return msda(value, shapes, _starts(shapes, level_start_index), sampling_locations, attention_weights)


def _deformops_unavailable() -> str | None:
    if importlib.util.find_spec("deformops") is None:
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        too_old = sys.version_info < (3, 12)
        return (
            f"not installed (Python {python} < 3.12)" if too_old else "not installed: pip install deformops"
        )
    if not any(map(shutil.which, (os.environ.get("CC", "gcc"), "gcc", "clang"))):
        return "its Triton kernels need a C compiler at run time, and there is neither gcc nor clang"
    try:
        importlib.import_module("deformops.registry")
    except Exception as error:  # another torch or Triton than it was written for
        return f"{importlib.metadata.version('deformops')} cannot be imported ({error})"
    return None


def _mmcv(value, spatial_shapes, sampling_locations, attention_weights, level_start_index=None) -> Tensor:
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    shapes = _to_tensor(spatial_shapes, value.device)
    starts = _starts(shapes, level_start_index)
    whole_batch = max(1, value.shape[0])  # mmcv requires a step that divides the batch
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, sampling_locations, attention_weights, whole_batch
    )


def _mmcv_unavailable() -> str | None:
    from dense3d.ops.mmcv_imports import install_mmcv_extension

    install_mmcv_extension()
    return getattr(importlib.import_module("mmcv._ext"), "stand_in_reason", None)


for _name, _device, _implementation, _available in (
    ("numba", "cpu", _numba, _numba_unavailable),
    ("deformops", "cuda", _deformops, _deformops_unavailable),
    ("mmcv", "cuda", _mmcv, _mmcv_unavailable),
    ("reference", "any", multi_scale_deformable_attention_reference, None),
):
    register_backend(
        "multi_scale_deformable_attention",
        _name,
        device=_device,
        implementation=_implementation,
        available=_available,
    )
