"""The suite ``backbones``: what is timed side by side computes the same."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks.backbones import CASES
from dense3d.benchmarks.timing import OURS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same_map_and_gradient(case):
    workload = case.build(torch.device("cpu"), **case.tiny)
    results = {}
    for name, function in workload.contenders.items():
        images = workload.inputs[0].clone().requires_grad_()
        output = function(images)
        output.square().sum().backward()
        results[name] = output.detach(), images.grad
    assert set(results) >= {OURS, "composed" if case.name.startswith("ViT-CoMer") else "timm"}
    for output, gradient in results.values():
        torch.testing.assert_close(output, results[OURS][0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(gradient, results[OURS][1], rtol=1e-3, atol=1e-3)
