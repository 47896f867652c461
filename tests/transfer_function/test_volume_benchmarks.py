"""The suite ``volumes``: contenders of a case compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.benchmarks import load_cases

CASES = {case.name: case for case in load_cases("volumes")}


@pytest.mark.parametrize("name", ["similarity_click", "proximity", "map_quantile", "bilateral"])
def test_contenders_agree(name):
    workload = CASES[name].build(torch.device("cpu"), **CASES[name].tiny)
    results = [np.asarray(call(*workload.inputs)) for call in workload.contenders.values()]
    assert len(results) == 2
    assert np.ptp(results[0]) > 0 or results[0].ndim == 0
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)
