"""The suite ``volumes``: what is timed side by side draws the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.benchmarks import load_cases
from dense3d.benchmarks.timing import OURS

CASES = [case for case in load_cases("volumes") if case.name.startswith("picture")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_draw_the_same(case):
    """VTK has its lamp at the eye and computes in integers; its spheres are as bright in the same places."""
    workload = case.build(torch.device("cpu"), **case.tiny)
    drawn = {name: draw().numpy() for name, draw in workload.contenders.items()}
    ours = drawn.pop(OURS)
    assert ours.max() > 0.1
    assert (ours.max(-1) > 0.02).mean() < 0.9
    np.testing.assert_array_equal(drawn.pop("dense3d, nothing skipped"), ours)
    for picture in drawn.values():
        assert np.corrcoef(ours.max(-1).ravel(), picture.max(-1).ravel())[0, 1] > 0.94


@pytest.mark.parametrize("name", ["histogram", "histogram_2d"])
def test_contenders_count_the_same(name):
    (case,) = load_cases("volumes", [name])
    workload = case.build(torch.device("cpu"), **case.tiny)
    ours, theirs = (count().numpy() for count in workload.contenders.values())
    assert ours.sum() == theirs.sum() == 12**3
    assert np.abs(ours - theirs).sum() <= 0.01 * 12**3  # rounding on an edge
