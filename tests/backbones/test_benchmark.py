"""The suite ``backbones``: what is timed side by side computes the same."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks.backbone_families import STEPS
from dense3d.benchmarks.backbones import CASES
from dense3d.benchmarks.timing import OURS

CHAOTIC = {"SG-Former"}  # sorts tokens by scores: compared in float64


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("case", [case for case in CASES if case.sizes], ids=lambda case: case.name)
def test_contenders_compute_the_same_map_and_gradient(case, request):
    if case.name in CHAOTIC:
        request.getfixturevalue("double")
    workload = case.build(torch.device("cpu"), **case.tiny)
    results = {}
    for name, function in workload.contenders.items():
        images = workload.inputs[0].clone().requires_grad_()
        output = function(images)
        output.square().sum().backward()
        results[name] = output.detach(), images.grad
    assert OURS in results and {"timm", "composed", STEPS} & set(results)
    scale, steepest = (part.abs().max() for part in results[OURS])
    for output, gradient in results.values():
        torch.testing.assert_close(output, results[OURS][0], rtol=1e-3, atol=float(1e-4 * max(scale, 1.0)))
        torch.testing.assert_close(
            gradient, results[OURS][1], rtol=1e-3, atol=max(1e-5, 1e-3 * float(steepest))
        )


def test_every_family_is_timed_or_says_why_not():
    for case in CASES:
        assert bool(case.sizes) != bool(case.note)
        assert {size["precision"] for size in case.sizes.values()} in ({"float32", "bfloat16"}, set())
