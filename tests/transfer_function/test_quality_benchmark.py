"""The suite transfer-function: contenders do what their names say, figures are means of what was measured."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.backbones import VisionTransformer
from dense3d.backbones.vit_architectures import ARCHITECTURES
from dense3d.benchmarks import transfer_function as suite
from dense3d.benchmarks import transfer_function_peers as peers
from dense3d.benchmarks.transfer_function_run import benchmark_transfer_function
from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.features import settings
from dense3d.transfer_function.prompts import Prompt


@pytest.fixture
def two_blocks():
    truth = np.zeros((14, 12, 10), np.uint8)
    truth[1:6, 1:11, 1:9], truth[8:13, 1:11, 1:9] = 1, 2
    values = np.array([0.0, 50.0, 100.0])[truth] + np.random.default_rng(0).normal(0, 1, truth.shape)
    return Volume(values.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])), truth


CLICKS = [Prompt(c, np.array([v], np.int32)) for c, v in ((0, (0, 0, 0)), (1, (3, 5, 5)), (2, (10, 5, 5)))]


@pytest.mark.parametrize("make", [peers.threshold, peers.forest, peers.voxel_walker])
def test_baselines_find_two_blocks_of_two_intensities(two_blocks, make):
    pytest.importorskip("sklearn") if make is peers.forest else None
    volume, truth = two_blocks
    labels = make(volume, 2)(CLICKS)
    assert labels.shape == truth.shape
    # three clicks are three samples for a forest, and the thin background is hard to reach for a walker
    assert (labels == truth).mean() > (0.95 if make is peers.threshold else 0.4)
    for prompt in CLICKS:
        assert labels[tuple(prompt.voxels[0])] == prompt.class_id


def test_figures_are_means_over_structures_and_seeds(two_blocks):
    volume, truth = two_blocks
    half = np.where(truth == 1, 1, 0)
    quality = suite.measure(suite.CASES[0], volume, truth, "half", lambda v, c: lambda prompts: half)
    assert quality.dice == [0.5] * 4
    assert quality.per_structure[0] == [1.0, 0.0]
    assert quality.worst >= quality.median > 0


def test_the_command_prints_and_writes_a_table(two_blocks, tmp_path, monkeypatch, capsys):
    volume, truth = two_blocks
    sample(tmp_path, volume, truth)
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(tmp_path))
    monkeypatch.setattr(suite, "CONTENDERS", {"threshold": peers.threshold})
    results = benchmark_transfer_function(["mr_body"], rule="error", markdown_file=tmp_path / "t.md")
    assert len(results) == 1 and results[0].dice[-1] > 0.9
    assert "| mr_body | threshold |" in (tmp_path / "t.md").read_text()
    assert "mr_body 14x12x10, 2 structures" in capsys.readouterr().out


def sample(folder: Path, volume: Volume, truth: np.ndarray) -> None:
    """Write it as one of the samples."""
    place = folder / "volumes" / "mr_body"
    place.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(volume.values, volume.affine), place / "mr.nii.gz")
    nibabel.save(nibabel.Nifti1Image(truth, volume.affine), place / "seg.nii.gz")


@pytest.mark.parametrize("is_converted", [False, True])
def test_features_of_a_checkpoint_take_part(two_blocks, tmp_path, monkeypatch, is_converted):
    """DINO's file as it is, and as ``dense3d convert dino`` writes it; of a small network."""
    small = dict(embed_dim=16, depth=2, num_heads=2)
    monkeypatch.setitem(ARCHITECTURES, "dino_vits16", ARCHITECTURES["dino_vits16"] | small)
    monkeypatch.setitem(settings.PRESETS, "quick", settings.FeatureSettings(size=8))
    monkeypatch.setattr(suite, "REPORTED", (1, 2))
    monkeypatch.setattr(suite, "SEEDS", (0, 1))
    monkeypatch.setattr(suite, "CONTENDERS", {"threshold": peers.threshold})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(tmp_path))
    sample(tmp_path, *two_blocks)
    torch.manual_seed(0)
    state = VisionTransformer(dict(name="dino_vits16", pretrain_size=64)).state_dict()
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 16), state["pos_embed"]], dim=1)
    file = tmp_path / "dino.pth"
    torch.save(state, file)
    if is_converted:
        convert_checkpoint("dino", file, file := tmp_path / "converted.pth")
    results = benchmark_transfer_function(["mr_body"], checkpoint=str(file), json_file=tmp_path / "r.json")
    assert [one.contender for one in results] == ["similarity", "similarity-refined", "threshold"]
    assert all(0.2 < one.dice[-1] <= 1 for one in results)
    assert len(json.loads((tmp_path / "r.json").read_text())["results"]) == 3


def test_missing_samples_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSE3D_SAMPLE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"ct\.nii\.gz is missing.*DENSE3D_SAMPLE_DATA"):
        benchmark_transfer_function(["ct_body"])


def test_default_reaches_its_floor_on_the_body_ct(sample_data):
    case = suite.CASES[0]
    volume, truth = case.read(sample_data)
    make = suite.CONTENDERS["graph, hand-made features alone"]
    quality = suite.measure(case, volume, truth, "graph", make)
    assert quality.dice[suite.REPORTED.index(5)] >= 0.72
