"""Data sets of radiance grids: the releases' layout, and what is said of files that are no good."""

from __future__ import annotations

import zipfile

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
from dense3d.datasets.radiance_grids.augment import GridAugmentation
from dense3d.datasets.radiance_grids.splits import read_split, write_split
from dense3d.datasets.strict import PipelineError
from dense3d.errors import ConfigError, DataError
from dense3d.structures import Boxes3D
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
    # in a test all that is found there is false, and has to count
    data = Front3DNeRF(str(release), boxes="obb", test_mode=True, pipeline=PIPELINE)
    assert [data[i]["data_samples"].gt_boxes.shape for i in range(2)] == [(1, 7), (0, 7)]
    assert data.bad_samples() == []
    np.save(release / "obb" / "b.npy", np.zeros((0, 6), np.float32))
    for test_mode in (True, False):
        with pytest.raises(DataError, match="no scene of the split 'train' has a box"):
            Front3DNeRF(str(release), boxes="obb", test_mode=test_mode)
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


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_takes_labels_and_finer_grids_along(seed):
    """Both are made of the grid, and are what is made of the grid afterwards."""
    import torch

    grid = torch.rand(4, 6, 8, 4, generator=torch.Generator().manual_seed(seed))
    labels = (10 * grid[0]).long()
    finer = grid.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    np.random.seed(seed)
    found = GridAugmentation().transform(dict(grid=grid, gt_voxel_labels=labels, gt_grid=finer))
    assert torch.equal(found["gt_voxel_labels"], (10 * found["grid"][0]).long())
    assert torch.equal(found["gt_grid"][:, ::2, 1::2, ::2], found["grid"])
    assert found["gt_grid"].is_contiguous() and found["gt_voxel_labels"].is_contiguous()


def test_small_turns_take_the_nearest_label_and_refuse_finer_grids():
    import torch

    labels = torch.zeros(40, 40, 4, dtype=torch.long)
    labels[14:26, 10:30] = 5  # a box around the middle, within the grid when it is turned
    sample = dict(grid=torch.rand(4, 40, 40, 4), gt_voxel_labels=labels)
    sample["gt_boxes"] = torch.tensor([[20.0, 20, 2, 12, 20, 4, 0]])
    augment = GridAugmentation(0, 0, 1, most_turn=0.17, scales=(1.1, 1.1))
    np.random.seed(0)
    found = augment.transform(dict(sample))
    assert set(found["gt_voxel_labels"].unique().tolist()) == {0, 5}
    count = int((found["gt_voxel_labels"] == 5).sum())
    assert count == pytest.approx(float(found["gt_boxes"][0, 3:6].prod()) * 1.1, rel=0.1)  # height is cut off
    inside = Boxes3D(found["gt_boxes"], "world")
    places = (found["gt_voxel_labels"] == 5).nonzero().float() + 0.5
    assert (places.mean(0)[:2] - inside.center[0, :2]).abs().max() < 0.3
    with pytest.raises(ConfigError, match="cannot turn and scale a finer grid"):
        augment.transform(dict(sample, gt_grid=torch.rand(4, 80, 80, 8)))
    augment.transform(dict(sample, gt_boxes=None, gt_grid=torch.rand(4, 80, 80, 8)))


def test_a_wrong_step_of_a_pipeline_is_a_sentence_from_workers_too(release):
    pipeline = [PIPELINE[0], dict(type="GridAugmentation"), PIPELINE[1]]
    data = Front3DNeRF(str(release), boxes="obb", finer="features", pipeline=pipeline, skip_bad_samples=True)
    with pytest.raises(ConfigError, match=r"^GridAugmentation cannot turn and scale") as caught:
        data[0]
    sentence = str(caught.value)
    worker = f"Caught it in a worker.\n{PipelineError.__module__}.PipelineError: {sentence}"
    assert str(PipelineError(worker)) == sentence


def _archive(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _save(path, array):
    with path.open("wb") as file:  # whatever its suffix
        np.save(file, array, allow_pickle=True)


def _cut(path):
    _save(path, np.zeros((50, 7)))
    path.write_bytes(path.read_bytes()[:200])


ODD = {
    "an archive": lambda path: _archive(path, boxes=BOX),
    "cut": _cut,
    "text": lambda path: path.write_text("x y z"),
    "no bytes": lambda path: path.write_bytes(b""),
    "another version": lambda path: path.write_bytes(b"\x93NUMPY\x09\x00" + bytes(80)),
    "a header that is none": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': [[[[[\n"),
    "objects": lambda path: _save(path, np.array([{}, None], object)),
    "one number": lambda path: _save(path, np.float32(3)),
    "names": lambda path: _save(path, np.array(["a", "b"])),
    "named fields": lambda path: _save(path, np.zeros(3, [("x", "f4"), ("y", "f4")])),
    "complex numbers": lambda path: _save(path, np.zeros((2, 7), complex)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("what", [("boxes", "obb"), ("labels", "semantics")])
def test_odd_files_of_arrays_are_named(release, kind, what):
    ODD[kind](release / what[1] / "b.npy")
    with pytest.raises(DataError, match=f"{what[1]}/b.npy"):
        Front3DNeRF(str(release), **{what[0]: what[1]}, pipeline=PIPELINE)[0]


@pytest.mark.parametrize("kind", [*ODD, "lists that are none"])
def test_odd_split_files_are_named(release, kind):
    path = release / "3dfront_split.npz"
    path.unlink()
    if kind in ODD:
        ODD[kind](path)
    else:
        _archive(path, train_scenes=np.float32(3))
    with pytest.raises((DataError, ConfigError), match=r"3dfront_split\.npz"):
        Front3DNeRF(str(release))


def test_a_header_of_the_third_version_is_read(release):
    values = np.full((4, 6, 4, 4), 0.5, np.float32)
    path = release / "features" / "b.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("rgbsigma.npy", "w") as file:
        np.lib.format.write_array(file, values, version=(3, 0))
    sample = HypersimNeRF(str(release), pipeline=PIPELINE)[0]
    assert float(sample["inputs"]["grids"].min()) == 0.5
    with zipfile.ZipFile(release / "features" / "b.npz", "w") as archive:
        archive.writestr("rgbsigma.npy", b"\x93NUMPY\x09\x00" + bytes(80))
    with pytest.raises(DataError, match=r"b.npz: rgbsigma is of version \(9, 0\) of npy"):
        HypersimNeRF(str(release), pipeline=PIPELINE)[0]


def test_packing_keeps_what_there_is():
    import torch

    packed = PackGridInputs()(dict(grid=torch.zeros(4, 2, 2, 2), gt_boxes=torch.zeros(0, 7), sample_id="x"))
    assert packed["data_samples"].gt_boxes.shape == (0, 7) and "gt_voxel_labels" not in packed["data_samples"]
