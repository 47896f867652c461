"""The adapter of ``volume-composite``: driven by the kit alone, and what it does not know is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.golden import verify_kit

KIT = Path(__file__).parent / "kits" / "volume-composite"


@pytest.fixture
def kit(tmp_path):
    """A copy that may be changed: ``kit(change(meta, tensors)) -> rows``."""

    def changed(change):
        folder = tmp_path / "kit"
        shutil.copytree(KIT, folder)
        meta, tensors = json.loads((folder / "kit.json").read_text()), dict(np.load(folder / "tensors.npz"))
        change(meta, tensors)
        (folder / "kit.json").write_text(json.dumps(meta))
        np.savez(folder / "tensors.npz", **tensors)
        return verify_kit(folder)

    return changed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("interpolation", "nearest"),
        ("shape", [3, 3, 3]),
        ("image_size", [10, 15]),
        ("sampling", "jittered"),
        ("cameras", {"orthographic": {"kind": "fisheye"}}),
        ("cameras", {"orthographic": {"kind": "orthographic", "roll": 3.0}}),
        ("cameras", {"orthographic": {"kind": "orthographic", "eye": [2.0, 1.2, 1.7]}}),
        ("cameras", {"perspective": {"kind": "orthographic"}}),
    ],
)
def test_a_config_that_says_something_else_is_refused(kit, key, value):
    rows = kit(lambda meta, tensors: meta["config"].update({key: value}))
    assert [row.passed for row in rows] == [False]


@pytest.mark.parametrize(
    ("name", "factor", "checks"),
    [
        ("spacing", 1.01, {"rays", "integral", "steps", "iso"}),
        ("level", 1.05, {"iso"}),
        ("tf_rgb_extinction", 1.05, {"integral", "steps", "preintegrated"}),
        ("fov_y", 1.01, {"rays", "integral", "steps", "iso"}),
    ],
)
def test_every_input_counts(kit, name, factor, checks):
    """A kit whose inputs are others than those of its outputs fails."""

    def change(meta, tensors):
        meta["config"].pop("cameras")
        for key in tensors:
            if key.endswith(f"/{name}"):
                tensors[key] = tensors[key] * factor

    failed = {row.check.partition(".")[0] for row in kit(change) if not row.passed}
    assert failed == checks
