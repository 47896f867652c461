"""The suite ``rasterize``: contenders compute the same."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks.rasterize import CASES
from dense3d.benchmarks.timing import OURS, Case


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
