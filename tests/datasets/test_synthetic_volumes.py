"""Labelled phantoms: asymmetric, reproducible, as bright as stated, whole on disk in several axis orders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.synthetic import make_phantom, make_volumes
from dense3d.datasets.synthetic.phantom import ORGANS
from dense3d.datasets.volumes import open_volume, read_segmentation
from dense3d.errors import ConfigError, DataError
from dense3d.transfer_function.windows import looks_like_ct

SIZE = (56, 48, 40)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_structures_are_where_and_as_bright_as_stated(modality: str) -> None:
    volume, truth = make_phantom(SIZE, 1, modality)
    by_name = {name: label for label, name in truth.names.items()}
    assert set(truth.names) == set(np.unique(truth.labels)) - {0}
    assert len(by_name) == 11
    for organ in ORGANS:
        voxels = np.argwhere(truth.labels == by_name[organ.name])
        centre = volume.affine[:3, :3] @ voxels.mean(0) + volume.affine[:3, 3]
        assert np.linalg.norm(centre - organ.centre) < 35, organ.name  # vessels and neighbours take a part
        middle = np.median(volume.values[truth.labels == by_name[organ.name]])
        stated = organ.ct if modality == "CT" else 1000 * organ.mr
        assert abs(middle - stated) < (15 if modality == "CT" else 0.5 * stated + 20), organ.name
    assert looks_like_ct(volume.values) == (modality == "CT")
    for axis in range(3):  # no mirrored result may pass for the right one
        mirrored = np.flip(truth.labels, axis)
        both = (truth.labels > 0) & (mirrored == truth.labels)
        assert both.sum() < 0.8 * (truth.labels > 0).sum()
    assert (truth.labels == by_name["liver"])[SIZE[0] // 2 :].sum() > 5 * (truth.labels == by_name["spleen"])[
        SIZE[0] // 2 :
    ].sum()


def test_a_seed_is_a_patient() -> None:
    first, again, other = (make_phantom(SIZE, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0].values, again[0].values)
    np.testing.assert_array_equal(first[1].labels, again[1].labels)
    assert (first[1].labels != other[1].labels).any()


def test_files_open_in_every_axis_order_as_one_patient(tmp_path: Path) -> None:
    assert make_volumes(tmp_path / "data", 5, SIZE)
    assert not make_volumes(tmp_path / "data", 5, SIZE)
    with pytest.raises(DataError, match="of another recipe: count is 5 instead of 4"):
        make_volumes(tmp_path / "data", 4, SIZE)
    orientations = []
    for index in range(5):
        folder = tmp_path / "data" / f"body_{index:03d}"
        (scan,) = (path for path in folder.glob("*.nii.gz") if path.name != "seg.nii.gz")
        opened = open_volume(scan)
        orientations.append(opened.orientation)
        volume, truth = make_phantom(SIZE, index, scan.name[:2].upper())
        np.testing.assert_array_equal(opened.canonical().values, volume.values)
        np.testing.assert_allclose(opened.canonical().affine, volume.affine, atol=1e-4)
        labels = read_segmentation(folder / "seg.nii.gz", opened.canonical())
        np.testing.assert_array_equal(labels.labels, truth.labels)
        names = json.loads((folder / "labels.json").read_text())
        assert {int(label): name for label, name in names.items()} == dict(truth.names)
    assert orientations == ["RAS", "LPS", "LAS", "PIR", "ASL"]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "v"
    assert main(["make-synthetic", "volumes", str(out), "--train", "1", "--size", "24x20x16"]) == 0
    assert f"dense3d transfer-function {out / 'body_000' / 'ct.nii.gz'}" in capsys.readouterr().out
    assert open_volume(out / "body_000" / "ct.nii.gz").shape == (24, 20, 16)
    for arguments, told in (
        (["--size", "24x20"], "three sides of 16 to 1024 voxels"),
        (["--size", "8x20x16"], "three sides"),
        (["--train", "0"], "at least one volume"),
        (["--scenes", "room"], "--scenes is of images"),
    ):
        assert main(["make-synthetic", "volumes", str(tmp_path / "w"), *arguments]) == 2
        assert told in capsys.readouterr().err
    assert main(["make-synthetic", "coco", str(tmp_path / "w"), "--size", "64x64x64"]) == 2
    assert "images have a width and a height" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="three sides"):
        make_phantom((4, 4, 4))
    with pytest.raises(ConfigError, match="choose CT or MR"):
        make_phantom(SIZE, modality="PET")
