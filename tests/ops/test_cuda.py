"""Every operator on a GPU computes, forward and backward, what it computes on the CPU."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks.ops import CASES
from dense3d.benchmarks.timing import OURS, Case, Workload

CPU = torch.device("cpu")


def outputs_and_gradients(workload: Workload, device: torch.device | str) -> list[torch.Tensor]:
    """Ours on ``device``, from the workload's inputs."""
    inputs = [tensor.detach().to(device) for tensor in workload.inputs]
    for i in workload.leaves:
        inputs[i].requires_grad_()
    output = workload.contenders[OURS](*inputs)
    if workload.leaves:
        output.square().sum().backward()
    return [output.detach().cpu(), *(inputs[i].grad.cpu() for i in workload.leaves)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cuda_equals_cpu(case: Case):
    workload = case.build(CPU, **case.tiny)
    expected = outputs_and_gradients(workload, CPU)
    for result, truth in zip(outputs_and_gradients(workload, "cuda"), expected, strict=True):
        torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-4)
