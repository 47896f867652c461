"""Data sets of radiance grids: the releases' layout, and what is said of files that are no good."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.datasets.radiance_grids import (
    Front3DNeRF,
    HypersimNeRF,
    LoadRadianceGrid,
    PackGridInputs,
    RadianceGridDataset,
    ScanNetNeRF,
)
from dense3d.datasets.radiance_grids.splits import read_split, write_split
from dense3d.errors import ConfigError, DataError
from dense3d.structures.radiance_grid import alpha_of

PIPELINE = [dict(type="LoadRadianceGrid"), dict(type="PackGridInputs")]
BOX = np.array([[2.0, 2, 2, 2, 1, 1, 0.3]], np.float32)


@pytest.fixture
def release(tmp_path):
    """A tiny data set in the released layout, whose files do not tell their kind."""
    for folder in ("features", "obb", "semantics"):
        (tmp_path / folder).mkdir()
    for scene in ("a", "b", "c"):
        values = np.full((4, 6, 4, 4), 0.25, np.float32)
        values[..., 3] = 3.0
        np.savez(tmp_path / "features" / f"{scene}.npz", rgbsigma=values, resolution=[4, 6, 4])
        np.save(tmp_path / "obb" / f"{scene}.npy", BOX)
        np.save(tmp_path / "semantics" / f"{scene}.npy", np.full((4, 6, 4), 3, np.uint8))
    write_split(tmp_path / "3dfront_split.npz", {"train": ["b", "a"], "val": ["c"], "test": ["c"]})
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "alpha"),
    [(Front3DNeRF, float(alpha_of(3.0, "raw_exp"))), (ScanNetNeRF, float(alpha_of(3.0, "relu")))],
)
def test_each_release_has_its_own_density(release, kind, alpha):
    data = kind(str(release), boxes="obb", labels="semantics", pipeline=PIPELINE)
    item = data[0]
    sample = item["data_samples"]
    assert item["inputs"]["grids"].shape == (4, 4, 6, 4)
    assert item["inputs"]["grids"][3].numpy() == pytest.approx(alpha)
    assert (sample.sample_id, sample.ori_shape) == ("b", (4, 6, 4))  # in the order of the split's file
    assert sample.gt_boxes.numpy() == pytest.approx(BOX) and int(sample.gt_voxel_labels.min()) == 3


def test_opacity_is_not_converted_again(release):
    with pytest.raises(DataError, match="opacity lies in"):
        HypersimNeRF(str(release), pipeline=PIPELINE)[0]
    values = np.full((2, 2, 2, 4), 0.5, np.float32)
    np.savez(release / "features" / "b.npz", rgbsigma=values)
    assert float(HypersimNeRF(str(release), pipeline=PIPELINE)[0]["inputs"]["grids"][3].max()) == 0.5
    # 8 bits hold opacity, whatever the data set's floating grids hold
    np.savez(release / "features" / "b.npz", rgbsigma=(values * 255).astype(np.uint8))
    found = float(Front3DNeRF(str(release), pipeline=PIPELINE)[0]["inputs"]["grids"][3].max())
    assert found == pytest.approx(127 / 255)


def test_opacity_that_a_release_says_is_raw_is_refused(release):
    values = np.full((4, 6, 4, 4), 0.5, np.float32)
    values[0, ..., 3] = 0
    np.savez(release / "features" / "b.npz", rgbsigma=values)
    with pytest.raises(DataError, match=r"b.npz: all of its densities are in \[0, 1\], as opacity is"):
        Front3DNeRF(str(release), pipeline=PIPELINE)[0]
    values[0, ..., 3] = -10000
    np.savez(release / "features" / "b.npz", rgbsigma=values)
    assert Front3DNeRF(str(release), pipeline=PIPELINE)[0]["inputs"]["grids"][3].max() < 0.02


def test_shares_and_splits(release):
    assert len(RadianceGridDataset(str(release), "all", density_kind="relu")) == 3
    assert len(RadianceGridDataset(str(release), share=0.5)) == 1
    assert len(RadianceGridDataset(str(release), share=0.1)) == 1  # never none
    assert len(RadianceGridDataset(str(release), split_file="")) == 3
    with pytest.raises(DataError, match=r"mine_split.npz does not exist"):  # never another one instead
        RadianceGridDataset(str(release), split_file="mine_split.npz").full_init()
    with pytest.raises(ConfigError, match="has no split 'test'"):
        write_split(release / "3dfront_split.npz", {"train": ["a"]})
        read_split(release / "3dfront_split.npz", "test")
    with pytest.raises(ConfigError, match="split='training'"):
        RadianceGridDataset(str(release), "training")
    with pytest.raises(ConfigError, match="share=0"):
        RadianceGridDataset(str(release), share=0)


def test_missing_files_are_named_or_left_out(release):
    (release / "obb" / "a.npy").unlink()
    with pytest.raises(DataError, match=r"obb/a.npy does not exist"):
        Front3DNeRF(str(release), boxes="obb")
    data = Front3DNeRF(str(release), boxes="obb", skip_bad_samples=True)
    assert len(data) == 1 and "a.npy" in data.bad_samples()[0]
    np.save(release / "obb" / "a.npy", np.zeros((0, 7), np.float32))  # as officially, a scene without boxes
    data = Front3DNeRF(str(release), boxes="obb")
    assert len(data) == 1 and "has no box" in data.bad_samples()[0]
    (release / "3dfront_split.npz").unlink()
    with pytest.raises(DataError, match=r"holds no \*_split.npz"):
        Front3DNeRF(str(release))
    with pytest.raises(DataError, match="the data root does not exist"):
        Front3DNeRF(str(release / "nowhere"))


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((2, 5)), r"holds no \(N, 7\)"),
        (np.array([[2.0, 2, 2, 1, 0, 1, 0]]), "box 0 has a side of no length"),
        (np.array([[2.0, 9, 2, 1, 1, 1, 0]]), "box 0 has its centre outside the grid of 4x6x4"),
        (np.array([[2.0, 2, 2, 1, 1, 1, np.nan]]), "not finite"),
        (np.array([[2.0, 2, 2, 1, 1, 1, 90.0]]), "yaws are radians"),
    ],
)
def test_boxes_that_are_none_are_named(release, boxes, message):
    np.save(release / "obb" / "b.npy", boxes)
    with pytest.raises(DataError, match=message):
        Front3DNeRF(str(release), boxes="obb", pipeline=PIPELINE)[0]


def test_labels_of_another_size_and_empty_grids_are_named(release):
    np.save(release / "semantics" / "b.npy", np.zeros((4, 6, 5), np.uint8))
    with pytest.raises(DataError, match=r"semantics/b.npy holds \(4, 6, 5\) labels"):
        Front3DNeRF(str(release), labels="semantics", pipeline=PIPELINE)[0]
    values = np.zeros((4, 6, 4, 4), np.float32)
    values[..., 3] = -10000
    np.savez(release / "features" / "b.npz", rgbsigma=values)
    with pytest.raises(DataError, match="there is nothing in the grid"):
        Front3DNeRF(str(release), pipeline=PIPELINE)[0]
    record = dict(path=str(release / "features" / "b.npz"), density_kind="raw_exp")
    assert not LoadRadianceGrid(allow_empty=True)(record)["grid"].any()


def test_the_scan_before_training_names_what_is_missing_or_damaged(release):
    from dense3d.datasets.scan.datasets import scan_dataset

    cfg = dict(type="Front3DNeRF", data_root=str(release), boxes="obb")
    assert [r.found for r in scan_dataset(cfg, True, 1)] == [2]
    np.save(release / "obb" / "a.npy", np.zeros((1, 7)))
    (report,) = scan_dataset(cfg, False, 1)
    assert report.corrupt == 1 and "a.npy" in str(report.faults[0])
    (release / "obb" / "a.npy").unlink()
    (report,) = scan_dataset(cfg, True, 1)
    assert report.missing == 1 and "a.npy" in str(report.faults[0])


def test_augmentation_refuses_what_it_does_not_carry_along(release):
    pipeline = [PIPELINE[0], dict(type="GridAugmentation"), PIPELINE[1]]
    with pytest.raises(Exception, match="does not take gt_voxel_labels along"):
        Front3DNeRF(str(release), labels="semantics", pipeline=pipeline)[0]
    assert Front3DNeRF(str(release), boxes="obb", pipeline=pipeline)[0]["data_samples"].gt_boxes.shape == (
        1,
        7,
    )


def test_packing_keeps_what_there_is():
    import torch

    packed = PackGridInputs()(dict(grid=torch.zeros(4, 2, 2, 2), gt_boxes=torch.zeros(0, 7), sample_id="x"))
    assert packed["data_samples"].gt_boxes.shape == (0, 7) and "gt_voxel_labels" not in packed["data_samples"]
