"""The Triton kernels of operators on clouds, by Triton's interpreter, against the references."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import torch
from dense3d.ops import ball_query_reference, farthest_point_sample_reference, knn_reference, point_triton
from dense3d.ops.chamfer import nearest_reference

random = torch.Generator().manual_seed(0)

def same(found, expected):
    assert torch.equal(found, expected), (found, expected)

def clouds(number, coarse, dtype=torch.float32):
    if coarse:  # most distances occur more than once
        return torch.randint(-2, 3, (3, number, 3), generator=random).to(dtype) / 4
    return torch.randn(3, number, 3, generator=random, dtype=dtype)

for number, coarse, dtype in ((1, 0, torch.float32), (40, 0, torch.float32), (40, 1, torch.float64)):
    points, queries = clouds(number, coarse, dtype), clouds(19, coarse, dtype)
    k = min(number, 5)
    for lengths in (None, torch.tensor([number, max(number // 2, k), k])):
        start = torch.tensor([0, k - 1, 0])
        for skip in (False, True):
            cloud = points * torch.where(torch.arange(number) % 3 == 0, 0.01, 1.0)[:, None].to(dtype)
            same(
                point_triton.farthest_points(cloud, k, start, skip, lengths),
                farthest_point_sample_reference(cloud, k, start, skip, lengths),
            )
        for found, expected in zip(
            point_triton.nearest_k(queries, points, k, lengths), knn_reference(queries, points, k, lengths)
        ):
            same(found, expected)
        query_lengths = None if lengths is None else torch.tensor([19, 4, 1])
        for found, expected in zip(
            point_triton.nearest_of_both(queries, points, query_lengths, lengths),
            nearest_reference(queries, points, query_lengths, lengths),
        ):
            same(found, expected)
        for radius, places in ((0.4, 3), (1.5, 40)):
            same(
                point_triton.balls(queries, points, radius, places, lengths),
                ball_query_reference(queries, points, radius, places, lengths),
            )
many = clouds(2500, 0)[:1]  # more than a tile
same(
    point_triton.farthest_points(many, 4, torch.zeros(1, dtype=torch.long), False, None),
    farthest_point_sample_reference(many, 4),
)
print("equal")
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_kernels_equal_the_references(repository: Path):
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "equal\n", done.stderr
