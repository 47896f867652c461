"""Golden checks of multi-scale deformable attention in the DETR family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.layers.deformable_attention import MultiScaleDeformableAttention
from dense3d.ops import multi_scale_deformable_attention
from tests.golden import UnknownCheckError
from tests.golden.gradients import kept_numbers, strided
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the attention of the kit's ``config`` and load its weights."""
    config = kit.meta["config"]
    sizes = (config["embed_dim"], config["num_heads"], config["num_levels"], config["num_points"])
    attention = load_strictly(MultiScaleDeformableAttention(*sizes), tensors_of(kit), kit)

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        if "sampling_locations" in tensors:
            return _core(**tensors)
        if "query" in tensors:
            found = _module(attention, kept_numbers(kit, check), **tensors)
            return {name: found[name] for name in check["outputs"]}
        if check["name"].startswith("initial_offsets"):
            bias = MultiScaleDeformableAttention(*sizes).sampling_offsets.bias.detach()
            return {"sampling_offsets_bias": bias.view(*sizes[1:], 2).numpy()}
        raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of deformable attention")

    return run


def _core(
    value: Tensor,
    spatial_shapes: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
) -> Arrays:
    leaves = [t.requires_grad_() for t in (value, sampling_locations, attention_weights)]
    output = multi_scale_deformable_attention(
        value, spatial_shapes.tolist(), sampling_locations, attention_weights
    )
    gradients = torch.autograd.grad(output, leaves, grad_output)
    names = ("grad_value", "grad_sampling_locations", "grad_attention_weights")
    return {"output": output.detach().numpy()} | {n: g.numpy() for n, g in zip(names, gradients)}


def _module(
    attention: MultiScaleDeformableAttention,
    kept: int | None,
    query: Tensor,
    reference_points: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    key_padding_mask: Tensor | None = None,
) -> Arrays:
    leaves = [t.requires_grad_() for t in (query, reference_points, value)]
    values = attention.project_value(value, key_padding_mask)
    output = attention(query, reference_points, values, spatial_shapes.tolist())
    index = torch.arange(output.numel(), dtype=output.dtype).view_as(output)
    leaves.append(attention.sampling_offsets.weight)
    gradients = torch.autograd.grad((output * torch.cos(0.37 * index)).sum(), leaves)
    return {
        "output": output.detach().numpy(),
        "grad_query": gradients[0].numpy(),
        "grad_reference_points": gradients[1].numpy(),
        "grad_value": gradients[2].numpy(),
        "grad_sampling_offsets_weight": strided(gradients[3], kept).numpy(),
    }
