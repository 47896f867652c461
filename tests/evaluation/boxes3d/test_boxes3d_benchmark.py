"""The suite ``boxes3d-eval``: contenders that agree."""

import pytest
import torch

from dense3d.benchmarks.boxes3d_eval import CASES, clipped_iou, make_scenes
from dense3d.ops import box_iou_3d


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same(case):
    workload = case.build(torch.device("cpu"), **case.tiny)
    ours, loop = (call() for call in workload.contenders.values())
    torch.testing.assert_close(ours, loop, equal_nan=True)
    assert 0.01 < ours[0, 0].nanmean() < 0.99


def test_the_clipping_is_that_of_the_operator():
    truth, found = make_scenes(1, 6, 2)
    pairs = [[clipped_iou(a, b) for b in truth.boxes] for a in found.boxes]
    expected = box_iou_3d(torch.from_numpy(found.boxes), torch.from_numpy(truth.boxes))
    torch.testing.assert_close(torch.tensor(pairs, dtype=torch.float64), expected)
