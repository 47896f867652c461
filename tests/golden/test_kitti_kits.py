"""Adapters of KITTI's evaluation and of oriented boxes on their kits, and on variants of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden import UnknownCheckError, open_kit
from tests.golden.kit import GoldenKit


def test_the_rules_are_those_of_the_kit(golden_dir):
    kit = GoldenKit(golden_dir / "kitti-eval")
    check = next(c for c in kit.checks if c["name"] == "main") | {"name": "main.second"}
    stored = kit.outputs("main")
    kit.meta["config"]["classes"] = ["Cyclist", "Car"]
    for name in ("strict", "loose"):
        kit.meta["config"][name] = [[row[2], row[0]] for row in kit.meta["config"][name]]
    produced = open_kit(kit)(check, kit.inputs("main"))
    np.testing.assert_allclose(produced["ap40"], stored["ap40"][:, :, [2, 0]], atol=1e-6)
    kit.meta["config"]["min_height"] = [40, 40, 25]
    changed = open_kit(kit)(check, kit.inputs("main"))
    assert np.abs(changed["ap40"][..., 1] - produced["ap40"][..., 1]).max() > 1
    np.testing.assert_allclose(changed["ap40"][..., 2], produced["ap40"][..., 2])


def test_edge_cases_use_the_frame_that_the_note_names(golden_dir):
    kit = GoldenKit(golden_dir / "kitti-eval")
    check = dict(next(c for c in kit.checks if c["name"] == "edge_cases"))
    check["note"] = (
        check["note"].replace("600.50 100.00", "900.50 100.00").replace("700.00 180.00 1", "990.00 180.00 1")
    )
    produced = open_kit(kit)(check, kit.inputs("edge_cases"))
    assert produced["exact_copy_precision"][0, 0, 1] < 1  # the second frame's result is false now


def test_unknown_checks_fail(golden_dir):
    kit = GoldenKit(golden_dir / "kitti-eval")
    with pytest.raises(UnknownCheckError, match="'other'"):
        open_kit(kit)({"name": "other", "outputs": ["x"], "note": ""}, kit.inputs("main"))
    kit = GoldenKit(golden_dir / "rotated-iou")
    with pytest.raises(UnknownCheckError, match="'other'"):
        open_kit(kit)({"name": "other", "outputs": ["x"]}, {"boxes": np.zeros((1, 7))})
    kit = GoldenKit(golden_dir / "obb-iou3d")
    with pytest.raises(UnknownCheckError, match="'other'"):
        open_kit(kit)({"name": "other", "outputs": ["x"]}, {})
