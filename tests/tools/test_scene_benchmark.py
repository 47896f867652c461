"""The suite ``scenes``: its peers compute the same."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks import scenes


@pytest.mark.parametrize("case", scenes.CASES, ids=lambda case: case.name)
def test_peers_compute_the_same(case):
    torch.manual_seed(0)
    workload = case.build(torch.device("cpu"), **case.tiny)
    ours, *others = (function(*workload.inputs) for function in workload.contenders.values())
    assert ours.abs().sum() > 0
    for other in others:
        torch.testing.assert_close(other, ours, rtol=1e-3, atol=1e-4)
