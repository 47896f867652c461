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


def test_another_camera_picture_and_volume_run(kit):
    """What a kit of other sizes asks for: no name, shape or size is built in. A medium of one extinction."""

    def change(meta, tensors):
        meta["config"].update(shape=[5, 3, 4], image_size=[6, 3], cameras={})
        meta["checks"] = [one for one in meta["checks"] if one["name"] == "steps.perspective_0.05"]
        (check,) = meta["checks"]
        check["name"] = "steps.oblique_0.3"
        old = {name: tensors[f"in/steps.perspective_0.05/{name}"] for name in check["inputs"]}
        old |= {"volume": np.full((5, 3, 4), 0.3, np.float32), "image_size": np.array([6, 3])}
        old |= {"tf_position": np.array([0.0]), "tf_rgb_extinction": np.array([[1, 0.5, 0.25, 2.0]])}
        old |= {"origin": np.full(3, -50.0), "spacing": np.full(3, 40.0), "step": np.array(0.3)}
        old["eye"], old["target"] = np.array([3.0, 3, 3]), np.array([9.0, 4, 3])  # inside: all is opaque
        tensors.clear()
        tensors.update({f"in/steps.oblique_0.3/{name}": value for name, value in old.items()})
        tensors["out/steps.oblique_0.3/rgba"] = np.broadcast_to(np.float32([1, 0.5, 0.25, 1]), (6, 3, 4))

    assert [row.passed for row in kit(change)] == [True]
