"""Plain transformers, ViT-CoMer and the masked autoencoder on their kits."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from dense3d.errors import CheckpointError, DataError
from tests.golden import UnknownCheckError, open_kit, verify_kit
from tests.golden.kit import GoldenKit


@pytest.fixture
def edited(golden_dir, tmp_path):
    """A copy of a kit whose ``kit.json`` a function has changed."""

    def edit(name: str, change) -> GoldenKit:
        folder = tmp_path / name
        folder.mkdir()
        meta = json.loads((golden_dir / name / "kit.json").read_text())
        change(meta)
        (folder / "kit.json").write_text(json.dumps(meta))
        shutil.copyfile(golden_dir / name / "tensors.npz", folder / "tensors.npz")
        return GoldenKit(folder)

    return edit


@pytest.mark.parametrize(
    "name", ["dinov2-reg", "dinov3-swiglu", "mae-vit", "beit", "vit-baseline", "vit-comer"]
)
def test_unknown_arguments_and_checks_are_failures(edited, name):
    kit = edited(name, lambda meta: meta["config"].update(colour="blue"))
    with pytest.raises(DataError, match="does not know the config argument 'colour'"):
        open_kit(kit)


def test_unknown_checks_are_failures(golden_dir):
    kit = GoldenKit(golden_dir / "dinov2-reg")
    run = open_kit(kit)
    with pytest.raises(UnknownCheckError, match=r"'attention_maps'; known are features"):
        run({"name": "attention_maps", "outputs": ["map"]}, {})
    check = dict(kit.checks[0], outputs=["cls", "colour"])
    with pytest.raises(UnknownCheckError, match="for 'colour'"):
        run(check, kit.inputs(check["name"]))


def test_a_kit_of_other_weights_fails(edited):
    """The weights follow from their names: seeded with another scale they are others, and it shows."""
    kit = edited("dinov2-reg", lambda meta: meta["scale"].append(["blocks.1.attn.proj.weight", 1.01]))
    assert any(not row.passed for row in verify_kit(kit.folder))


def test_a_kit_with_a_parameter_that_nothing_takes_fails(edited):
    kit = edited("dinov2-reg", lambda meta: meta["params"].append(["blocks.0.attn.scale", [3], "float32"]))
    with pytest.raises(CheckpointError, match=r"1 unexpected names: blocks\.0\.attn\.scale"):
        open_kit(kit)


def test_other_names_of_known_checks_run(golden_dir):
    kit = GoldenKit(golden_dir / "dinov3-swiglu")
    run = open_kit(kit)
    check = dict(next(c for c in kit.checks if c["name"] == "features"), name="features_other_size")
    image = np.random.default_rng(0).standard_normal((1, 3, 48, 64)).astype("float32")
    assert run(check, {"image": image})["patch"].shape == (1, 12, 192)
