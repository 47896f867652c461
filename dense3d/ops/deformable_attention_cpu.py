"""Multi-scale deformable attention on the CPU: the numba kernels as operators of torch.

As registered operators they pass through ``torch.compile`` without a graph break.
Shapes: value (B, S, M, D), spatial_shapes (L, 2), locations (B, Q, M, L, P, 2), weights (B, Q, M, L, P), all
in float32 or all in float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import OperatorUnavailableError
from dense3d.ops.cpu_execution import ReusedMemory, parallel_for

_MEMORY = ReusedMemory()
_ARGUMENTS = "Tensor value, Tensor spatial_shapes, Tensor locations, Tensor weights"


def _forward(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Output (B, Q, M * D) of the kernel."""
    from dense3d.ops import deformable_attention_kernels as kernels

    shapes, starts = _levels(value, spatial_shapes)
    batch, num_queries = locations.shape[:2]
    out = value.new_empty(batch, num_queries, value.shape[2] * value.shape[3])
    blocks = -(-num_queries // kernels.QUERY_BLOCK)
    inputs = (_flat(value), shapes, starts, _flat(locations), _flat(weights))
    parallel_for(kernels.forward, batch * blocks, *inputs, _flat(out), *_sizes(value, locations))
    return out


def _gradients(
    value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights."""
    from dense3d.ops import deformable_attention_kernels as kernels

    shapes, starts = _levels(value, spatial_shapes)
    grads = (
        _MEMORY.empty_like(value),
        _zeros_like(locations),
        _zeros_like(weights),
    )
    tasks = value.shape[0] * value.shape[2] * len(starts)
    inputs = (_flat(value), shapes, starts, _flat(locations), _flat(weights), _flat(grad_output))
    parallel_for(kernels.backward, tasks, *inputs, tuple(map(_flat, grads)), *_sizes(value, locations))
    return grads


def _levels(value: Tensor, spatial_shapes: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (L, 2) and first pixels (L,) of the levels; the kernels trust them to lie inside ``value``."""
    shapes = np.ascontiguousarray(spatial_shapes.numpy(), dtype=np.int64)
    areas = shapes.prod(axis=1)
    if areas.sum() != value.shape[1] or (shapes < 0).any():
        raise ValueError(
            f"spatial_shapes {shapes.tolist()} hold {areas.sum()} pixels, but value has {value.shape[1]}"
        )
    return shapes, np.cumsum(areas) - areas


def _zeros_like(tensor: Tensor) -> Tensor:
    """Zeros without torch's threads, which keep spinning on the cores that the kernel is about to need."""
    return torch.from_numpy(np.zeros(tensor.shape, tensor.detach().numpy().dtype))


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().view(-1).numpy()


def _sizes(value: Tensor, locations: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(S, M, Q, P), and D as the length of a tuple, which makes it a constant of the compiled kernel."""
    _, num_keys, num_heads, channels = value.shape
    return (num_keys, num_heads, locations.shape[1], locations.shape[4]), (0,) * channels


def _save_inputs(ctx, inputs: tuple, output) -> None:
    ctx.save_for_backward(*inputs[:4])


def _backward(ctx, grad_output: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
    grad_value, grad_locations, grad_weights = deformable_attention_backward(*ctx.saved_tensors, grad_output)
    return grad_value, None, grad_locations, grad_weights


def _second_backward(ctx, *grads: Tensor):
    raise OperatorUnavailableError(
        "multi_scale_deformable_attention has no second derivatives (grid_sample has none either); take the "
        "first ones without create_graph=True"
    )


def _fake_forward(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(*locations.shape[:2], value.shape[2] * value.shape[3])


def _fake_gradients(value: Tensor, spatial_shapes: Tensor, locations: Tensor, weights: Tensor, grad: Tensor):
    return (
        value.new_empty(value.shape),
        locations.new_empty(locations.shape),
        weights.new_empty(weights.shape),
    )


def _define(name: str, schema: str, function, fake, backward):
    """Register an operator; ``torch.library.custom_op`` would import torch's compiler at the first call."""
    _LIBRARY.define(name + schema)
    _LIBRARY.impl(name, function, "CPU")
    torch.library.register_fake(f"dense3d::{name}", fake, lib=_LIBRARY)
    torch.library.register_autograd(f"dense3d::{name}", backward, setup_context=_save_inputs, lib=_LIBRARY)
    return getattr(torch.ops.dense3d, name)


_LIBRARY = torch.library.Library("dense3d", "FRAGMENT")
deformable_attention = _define(
    "deformable_attention", f"({_ARGUMENTS}) -> Tensor", _forward, _fake_forward, _backward
)
deformable_attention_backward = _define(
    "deformable_attention_backward",
    f"({_ARGUMENTS}, Tensor grad_output) -> (Tensor, Tensor, Tensor)",
    _gradients,
    _fake_gradients,
    _second_backward,
)
