"""Suite ``ops``: every operator of ``dense3d.ops`` against other implementations of the same result."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from dense3d import ops
from dense3d.benchmarks.ops_boxes import CASES as BOXES
from dense3d.benchmarks.ops_features import CASES as FEATURES
from dense3d.benchmarks.ops_points import CASES as POINTS
from dense3d.benchmarks.ops_rays import CASES as RAYS
from dense3d.benchmarks.timing import OURS, Case, Workload

LEVELS = ((100, 134), (50, 67), (25, 34), (13, 17))  # strides 8 to 64 of an 800 x 1066 image
ENCODER_QUERIES = sum(height * width for height, width in LEVELS)


def attention(
    device: torch.device, queries: int, batch=2, heads=8, channels=32, points=4, levels=LEVELS
) -> Workload:
    """Uniformly random locations, the worst case for the caches."""
    random = torch.Generator().manual_seed(0)
    num_keys = sum(height * width for height, width in levels)
    value = torch.randn(batch, num_keys, heads, channels, generator=random)
    locations = torch.rand(batch, queries, heads, len(levels), points, 2, generator=random)
    weights = torch.rand(batch, queries, heads, len(levels) * points, generator=random).softmax(-1)
    weights = weights.unflatten(-1, (len(levels), points))
    shapes = torch.tensor(levels)
    contenders = {OURS: ops.multi_scale_deformable_attention, "mmcv, grid_sample": mmcv_attention()}
    for row in ops.backends("multi_scale_deformable_attention"):
        if row.device == device.type and row.status == "available":
            contenders[row.backend] = _with_backend(row.backend)
    inputs = tuple(tensor.to(device) for tensor in (value, shapes, locations, weights))
    return Workload(inputs, contenders, leaves=(0, 2, 3))


def _with_backend(name: str) -> Callable:
    def call(*inputs: torch.Tensor) -> torch.Tensor:
        return ops.multi_scale_deformable_attention(*inputs, backend=name)

    return call


def mmcv_attention() -> Callable:
    """mmcv's CPU function out of its source, because dense3d puts its own in its place in ``mmcv.ops``."""
    name = "multi_scale_deformable_attn_pytorch"
    package = Path(importlib.util.find_spec("mmcv").origin).parent
    tree = ast.parse((package / "ops" / "multi_scale_deform_attn.py").read_text())
    definition = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    namespace = {"torch": torch, "F": F}
    exec(compile(ast.Module(definition, []), f"mmcv {name}", "exec"), namespace)
    return namespace[name]


CASES = [
    Case(
        "multi_scale_deformable_attention",
        attention,
        sizes={
            "2 images, 900 queries": {"queries": 900},
            f"2 images, {ENCODER_QUERIES:,} queries": {"queries": ENCODER_QUERIES},
        },
        tiny={"queries": 5, "channels": 4, "levels": ((5, 6), (3, 3))},
    ),
    *BOXES,
    *FEATURES,
    *POINTS,
    *RAYS,
]
