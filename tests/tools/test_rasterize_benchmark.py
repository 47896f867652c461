"""The suite ``rasterize``: contenders compute the same."""

from __future__ import annotations

import cv2
import pytest
import torch

from dense3d.benchmarks.rasterize import CASES, SCALING, SIZES, check_drawn, draw_scaling
from dense3d.benchmarks.timing import FORWARD, OURS, Case, Timing
from dense3d.errors import ConfigError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same(case: Case):
    workload = case.build(torch.device("cpu"), **case.tiny)
    found = {}
    for name, call in workload.contenders.items():
        inputs = [
            tensor.clone().requires_grad_() if place in workload.leaves else tensor
            for place, tensor in enumerate(workload.inputs)
        ]
        output = call(*inputs)
        gradients = torch.autograd.grad(output.square().sum(), [inputs[place] for place in workload.leaves])
        found[name] = [output, *gradients]
    expected = found.pop(OURS)
    for results in found.values():
        for result, truth in zip(results, expected):
            scale = float(truth.detach().abs().max())
            torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-5 * scale)


def test_scaling_is_drawn(tmp_path):
    """Two numbers of Gaussians, of which the second has no peer and no memory."""
    names = list(SIZES)
    timings = [
        Timing(SCALING, names[0], FORWARD, OURS, 0.1, 0.1, 0.1, 1.0, 1, 5 << 20),
        Timing(SCALING, names[0], FORWARD, "torch, tile by tile", 0.9, 0.9, 0.9, 9.0, 1, 9 << 20),
        Timing(SCALING, names[-1], FORWARD, OURS, 2.0, 2.0, 2.0, 1.0, 1, None),
    ]
    picture = cv2.imread(str(draw_scaling(timings, tmp_path / "new")))
    assert picture.shape[:2] == (480, 1080) and picture.std() > 10
    check_drawn([])
    check_drawn(["project_gaussians", SCALING])
    with pytest.raises(ConfigError, match="draws the case 'scaling', which is not among project_gaussians"):
        check_drawn(["project_gaussians"])
