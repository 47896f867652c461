"""Which implementation of an operator is chosen, and how that is shown."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dense3d import ops
from dense3d.errors import OperatorUnavailableError
from dense3d.ops import dispatch
from dense3d.ops.__main__ import main
from dense3d.ops.dispatch import backends, register_backend, select_backend


@pytest.fixture
def registry(monkeypatch) -> None:
    """Only the candidates that the test registers."""
    monkeypatch.setattr(dispatch, "_CANDIDATES", {})
    monkeypatch.setattr(dispatch, "_SELECTED", {})
    monkeypatch.setattr(dispatch, "_import_operators", lambda: None)


def test_first_candidate_that_works_is_used(registry):
    register_backend("blur", "gpu", device="cuda", implementation=lambda: "gpu")
    register_backend("blur", "fast", implementation=lambda: "fast", available=lambda: "not installed")
    register_backend("blur", "plain", implementation=lambda: "plain")
    register_backend("blur", "slow", implementation=lambda: "slow")
    assert select_backend("blur", "cpu").implementation() == "plain"
    assert select_backend("blur", "cuda").implementation() == "gpu"
    assert select_backend("blur", "mps").implementation() == "plain"
    assert select_backend("blur", "cpu", "slow").implementation() == "slow"


def test_rows_give_order_status_and_reason(registry, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    register_backend("blur", "listed")
    register_backend("blur", "fast", device="cpu", implementation=print, available=lambda: "not installed")
    register_backend("blur", "plain", implementation=print)
    register_backend("blur", "slow", implementation=print)
    rows = [(r.device, r.backend, r.status, r.reason) for r in backends("blur")]
    no_device = "this machine has no CUDA device"
    assert rows == [
        ("cpu", "listed", "available", ""),
        ("cpu", "fast", "rejected", "not installed"),
        ("cpu", "plain", "used", ""),
        ("cpu", "slow", "available", ""),
        ("cuda", "listed", "rejected", no_device),
        ("cuda", "plain", "rejected", no_device),
        ("cuda", "slow", "rejected", no_device),
    ]
    lines = str(backends("blur")).splitlines()
    assert lines[0].split() == ["operator", "device", "backend", "status", "reason"]
    assert lines[2].split(maxsplit=4) == ["blur", "cpu", "fast", "rejected", "not installed"]


def test_registering_again_replaces_in_place(registry):
    register_backend("blur", "a", implementation=lambda: 1)
    register_backend("blur", "b", implementation=lambda: 2)
    assert select_backend("blur", "cpu").implementation() == 1
    register_backend("blur", "a", implementation=lambda: 3)
    assert select_backend("blur", "cpu").implementation() == 3
    assert [row.backend for row in backends("blur") if row.device == "cpu"] == ["a", "b"]


def test_availability_is_asked_once(registry):
    asked = []
    register_backend("blur", "a", implementation=print, available=lambda: asked.append(1))
    for _ in range(3):
        select_backend("blur", "cpu")
        select_backend("blur", "cuda")
        backends("blur")
    assert asked == [1]


def test_errors_say_why_and_what_is_left(registry):
    register_backend("blur", "fast", device="cuda", implementation=print, available=lambda: "no compiler")
    with pytest.raises(OperatorUnavailableError, match=r"blur .* cuda tensors \(fast: no compiler\)"):
        select_backend("blur", "cuda")
    register_backend("blur", "plain", implementation=print)
    with pytest.raises(OperatorUnavailableError, match="'fast' cannot be used, no compiler; usable: plain"):
        select_backend("blur", "cuda", "fast")
    with pytest.raises(
        OperatorUnavailableError, match=r"no such backend for cpu tensors; did you mean 'plain'"
    ):
        select_backend("blur", "cpu", "plane")
    with pytest.raises(OperatorUnavailableError, match="no operator is named 'blurr'; did you mean 'blur'"):
        backends("blurr")
    with pytest.raises(ValueError, match="'tpu'"):
        register_backend("blur", "other", device="tpu")


def test_every_public_operator_has_a_usable_candidate_on_the_cpu():
    rows = [row for row in backends() if row.device == "cpu"]
    operators = {row.operator for row in rows}
    assert {row.operator for row in rows if row.status == "used"} == operators
    assert operators <= set(ops.__all__)
    others = {
        "backends",
        "register_backend",
        "select_backend",
        "install_mmcv_extension",
        "mmcv_extension_state",
        "linear_sum_assignment",
        # of one form for every device
        *("band_attention", "band_mask", "resize_disparity", "warp_by_disparity", "left_right_check"),
        *("fill_from_left", "grid_occupancy"),
        # made of operators
        *("ConvRules", "chamfer_loss", "curve_order", "cube_offsets", "unique_voxels", "voxel_coordinates"),
        *("gaussians_from_points", "rgb_to_sh", "sh_to_rgb", "photometric_loss", "structural_similarity"),
    }
    functions = {name for name in ops.__all__ if not name.endswith("_reference")} - others
    assert functions == operators


def test_why_deformops_and_mmcv_are_not_used():
    rows = {row.backend: row for row in backends("multi_scale_deformable_attention") if row.device == "cuda"}
    assert list(rows) == ["deformops", "mmcv", "reference"]
    if sys.version_info < (3, 12):
        assert rows["deformops"].status == "rejected"
        assert rows["deformops"].reason.startswith("not installed (Python 3.1")


def test_names_are_exported_lazily():
    code = "import sys, dense3d.ops; assert 'torch' not in sys.modules; print(len(dir(dense3d.ops)))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(hasattr(ops, name) for name in ops.__all__)
    with pytest.raises(AttributeError, match="no_such_operator"):
        _ = ops.no_such_operator


def test_command_line_prints_the_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ops", "multi_scale_deformable_attention"])
    assert main() == 0
    assert "numba" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["ops", "nmss"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: no operator is named 'nmss'; did you mean 'nms'")
