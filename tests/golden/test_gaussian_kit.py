"""The adapter of ``gaussian``: driven by the kit alone, and what it does not know is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden import gaussian as adapter
from tests.golden import verify_kit
from tests.golden.gaussian import SEED
from tests.golden.kit import GoldenKit

KIT = Path(__file__).parent / "kits" / "gaussian-rasterize"


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


def only(meta: dict, name: str) -> None:
    meta["checks"] = [check for check in meta["checks"] if check["name"] == name]


def test_an_option_that_is_not_known_is_refused(kit):
    rows = kit(lambda meta, tensors: meta["config"].update(camera_model="fisheye"))
    assert [row.passed for row in rows] == [False]
    assert "camera_model" in rows[0].failure


@pytest.mark.parametrize(
    ("key", "value", "failing"),
    [
        ("sh_degree", 1, {"colors", "image", "grad_sh"}),
        ("eps2d", 0.5, {"conics", "image", "alpha", "radii"}),
        ("near", 3.0, {"image", "radii"}),
        ("radius_clip", 9.0, {"image", "radii"}),
    ],
)
def test_every_option_counts(kit, key, value, failing):
    """A kit that says another option than that of its outputs fails."""

    def change(meta, tensors):
        only(meta, "gsplat")
        meta["config"][key] = value

    failed = {row.output for row in kit(change) if not row.passed}
    assert failing <= failed
    assert "z" not in failed


def test_the_size_of_tiles_counts_for_inria_alone(kit):
    def change(meta, tensors):
        meta["checks"] = meta["checks"][:3]
        meta["config"]["tile_size"] = 8

    assert {row.check for row in kit(change) if not row.passed} == {"inria"}


def test_another_picture_and_number_of_channels_run(kit):
    """What a kit of other sizes asks for: one Gaussian, two cameras, a closed form at each pixel."""
    height, width, opacity = 9, 20, 0.25
    y, x = np.mgrid[:height, :width] + 0.5
    variance = (10 * 0.5 / 2) ** 2 + 0.1
    alpha = opacity * np.exp(-((x - 7) ** 2 + (y - 4) ** 2) / (2 * variance))
    alpha[alpha < 1 / 255] = 0
    colour, background = np.array([0.2, 0.9, 0.4, 0.6]), np.array([1.0, 0.5, 0.0, 0.1])
    image = alpha[..., None] * colour + (1 - alpha[..., None]) * background
    loss = 0.0
    for camera in range(2):
        random = np.random.default_rng(SEED + camera)
        for part, factor in ((image, 1.0), (alpha, 0.5), (2 * alpha, 0.2)):
            loss += factor * (part * random.normal(0, 1, part.shape)).sum()
    radius = np.ceil(np.sqrt(2 * np.log(255 * opacity) * variance))
    outputs = dict(
        alpha=np.stack([alpha] * 2),
        image=np.stack([image] * 2),
        count=np.stack([alpha > 0] * 2).astype(np.int64),
        radii=np.full((2, 1, 2), radius, np.int64),
        loss=np.array(loss),
    )
    inputs = dict(
        means=np.array([[0.0, 0, 2]]),
        log_scales=np.log(np.full((1, 3), 0.5)),
        quats=np.array([[2.0, 0, 0, 0]]),
        opacity_logits=np.array([np.log(opacity / (1 - opacity))]),
        colors=colour[None],
        viewmats=np.stack([np.eye(4)] * 2),
        Ks=np.stack([np.array([[10.0, 0, 7], [0, 10, 4], [0, 0, 1]])] * 2),
        background=background,
    )

    def change(meta, tensors):
        meta["config"] = dict(width=width, height=height, sh_degree=0, eps2d=0.1, tile_size=4)
        meta["checks"] = [
            dict(name="gsplat_one", inputs=list(inputs), outputs=list(outputs), rtol=1e-4, atol=1e-5, note="")
        ]
        tensors.clear()
        tensors.update({f"in/gsplat_one/{key}": np.float32(value) for key, value in inputs.items()})
        tensors.update({f"out/gsplat_one/{key}": value for key, value in outputs.items()})

    rows = kit(change)
    assert [str(row) for row in rows if not row.passed] == []
    assert {row.output for row in rows} == set(outputs)


def test_kits_that_name_no_convention_are_refused(kit):
    def change(meta, tensors):
        only(meta, "gsplat")
        meta["checks"][0]["name"] = "pulsar"
        for key in [key for key in tensors if "/gsplat/" in key]:
            tensors[key.replace("/gsplat/", "/pulsar/")] = tensors.pop(key)

    assert ["no rule for the check 'pulsar'" in row.failure for row in kit(change)] == [True]


def test_paths_that_disagree_are_failures(monkeypatch):
    """Of the compiled path and the reference, and of double and single precision."""
    render = adapter._render
    for wrong in (("reference", torch.float64), (None, torch.float32)):

        def disturbed(inputs, options, backend, wrong=wrong):
            found = render(inputs, options, backend)
            if (backend, inputs["means"].dtype) == wrong:
                found["image"] = found["image"] * 1.01
            return found

        monkeypatch.setattr(adapter, "_render", disturbed)
        inputs = {name: torch.from_numpy(value) for name, value in GoldenKit(KIT).inputs("gsplat").items()}
        with pytest.raises(AssertionError, match="image differs by"):
            adapter.rendered(inputs, dict(width=64, height=48, sh_degree=3))
