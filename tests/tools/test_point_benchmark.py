"""The suite ``pointops``: its peers compute the same, or the same for the same purpose."""

from __future__ import annotations

import pytest
import torch

from dense3d.benchmarks import pointops
from dense3d.benchmarks.timing import OURS, Case
from dense3d.errors import MissingDependencyError

CPU = torch.device("cpu")


@pytest.mark.parametrize("case", pointops.CASES, ids=lambda case: case.name)
def test_peers_compute_the_same(case: Case):
    workload = case.build(CPU, **case.tiny)
    with torch.no_grad():
        found = {name: call(*workload.inputs) for name, call in workload.contenders.items()}
    expected = found.pop(OURS)
    for name, result in found.items():
        if "official rule" in name or "another order" in name:
            assert result.shape == expected.shape
        elif name == "open3d" and case.name == "farthest_point_sample":
            assert torch.equal(result, expected.sort(-1).values)
        else:
            torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-4, check_dtype=False)


def test_large_clouds_meet_libraries():
    workload = pointops.chamfer_distance(CPU, batch=1, number=1001)
    results = [float(call(*workload.inputs)) for call in workload.contenders.values()]
    assert len(results) >= 3
    assert results == pytest.approx([results[0]] * len(results), rel=1e-3)


def test_a_missing_peer_is_left_out_with_a_sentence(monkeypatch, capsys):
    def missing(name: str, purpose: str = "") -> None:
        raise MissingDependencyError(f"the package {name!r} is not installed")

    monkeypatch.setattr(pointops, "require", missing)
    assert list(pointops.knn(CPU, batch=1, number=9, k=2).contenders) == [
        OURS,
        "torch, cdist and topk",
        "scipy, KDTree",
    ]
    assert capsys.readouterr().out == "left out: open3d: the package 'open3d' is not installed\n"
