"""A data set of pairs from its files to a batch: sizes, padding, ground truth; each fault in a sentence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.datasets.scan.datasets import scan_dataset
from dense3d.datasets.stereo import write_pfm, write_rig
from dense3d.errors import DataError
from dense3d.registry import DATASETS, MODELS
from dense3d.structures import RectifiedRig, StereoSample

SHIFT = 6
LOAD = [dict(type="LoadStereo", with_depth=True), dict(type="PackStereoInputs")]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


@pytest.fixture
def pairs(tmp_path):
    """Three pairs of a textured wall, 96 x 64 pixels, at 6 pixels of disparity."""
    noise = np.random.default_rng(0)
    for index in range(3):
        wall = cv2.GaussianBlur(noise.integers(0, 255, (64, 120, 3), dtype=np.uint8), (0, 0), 1)
        views = {"left": wall[:, 10:106], "right": wall[:, 10 + SHIFT : 106 + SHIFT]}
        for side, view in views.items():
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "train" / side / f"{index:06d}.png"), view)
        write_pfm(tmp_path / f"train/disparity/{index:06d}.pfm", np.full((64, 96), float(SHIFT)))
    write_rig(tmp_path / "rig.json", RectifiedRig(100.0, 0.12, 47.5, 31.5, 96, 64))
    return tmp_path


def build(root, pipeline=LOAD, **settings):
    return DATASETS.build(dict(type="SyntheticStereo", data_root=str(root), pipeline=pipeline, **settings))


def damage(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def test_pairs_become_a_batch(pairs):
    dataset = build(pairs)
    batch = pseudo_collate([dataset[index] for index in range(3)])
    preprocessor = MODELS.build(dict(type="StereoDataPreprocessor", mean=0, std=255, pad_divisor=40))
    done = preprocessor(batch)
    assert {name: tuple(images.shape) for name, images in done["inputs"].items()} == {
        "left": (3, 3, 80, 120),
        "right": (3, 3, 80, 120),
    }
    sample = done["data_samples"][1]
    assert isinstance(sample, StereoSample) and sample.sample_id == "000001"
    assert sample.img_shape == (64, 96) and sample.batch_input_shape == (80, 120)
    assert sample.rig.focal == 100 and sample.reference == "left"
    known = torch.isfinite(sample.gt_disparity)
    assert known.sum() == 64 * 96 and (sample.gt_disparity[known] == SHIFT).all()
    assert torch.allclose(sample.gt_depth[known], torch.tensor(2.0)) and (sample.gt_depth[~known] == 0).all()
    left = done["inputs"]["left"][1]
    assert torch.equal(left[:, :64, :96], batch["inputs"]["left"][1] / 255)
    assert torch.equal(left[:, :64, 96:], left[:, :64, 95:96].expand(-1, -1, 24))  # edges go on
    assert (batch["data_samples"][1].gt_disparity.shape) == (1, 64, 96)  # what was given is unchanged


def test_padding_of_batches_with_different_sizes():
    preprocessor = MODELS.build(dict(type="StereoDataPreprocessor", mean=[1, 2, 3], std=[1, 2, 4]))
    images = [torch.full((3, 8, 12), 5.0), torch.full((3, 10, 6), 5.0)]
    samples = [StereoSample(gt_flow=torch.zeros(2, 8, 12)), StereoSample(gt_disparity=torch.zeros(1, 20, 12))]
    done = preprocessor({"inputs": {"left": images, "right": images}, "data_samples": samples})
    assert done["inputs"]["left"].shape == (2, 3, 10, 12)
    assert done["inputs"]["right"][0, :, 9, 11].tolist() == [4.0, 1.5, 0.5]
    assert done["data_samples"][0].gt_flow.shape == (2, 10, 12)
    assert torch.isinf(done["data_samples"][0].gt_flow[:, 8:]).all()
    assert done["data_samples"][1].gt_disparity.shape == (1, 20, 24)  # Spring's, twice as large
    assert done["data_samples"][1].img_shape == (10, 6)


def test_pyramids_are_batched_by_level():
    packed = [
        {"left": torch.ones(3, 8, 8), "right": torch.ones(3, 8, 8), "left_pyramid": [torch.ones(3, 4, 4)] * 2}
    ] * 3
    done = MODELS.build(dict(type="StereoDataPreprocessor"))(
        {"inputs": pseudo_collate(packed), "data_samples": None}
    )
    assert [tuple(level.shape) for level in done["inputs"]["left_pyramid"]] == [(3, 3, 4, 4)] * 2


def test_images_that_no_model_reads_are_named():
    preprocessor = MODELS.build(dict(type="StereoDataPreprocessor"))
    grey, colour, small = (torch.zeros(shape) for shape in ((1, 8, 8), (3, 8, 8), (3, 8, 6)))
    with pytest.raises(DataError, match="left image: a model reads"):
        preprocessor({"inputs": {"left": [grey], "right": [colour]}})
    with pytest.raises(DataError, match="8 x 8 pixels, but the right image is 6 x 8"):
        preprocessor({"inputs": {"left": [colour], "right": [small]}})


def test_missing_files_are_counted_at_the_start(pairs):
    for index in range(2):
        (pairs / f"train/right/{index:06d}.png").unlink()
    with pytest.raises(DataError, match=r"right/000000.png does not exist \(2 of 3 pairs"):
        build(pairs)
    dataset = build(pairs, skip_bad_samples=True)
    assert len(dataset) == 1 and len(dataset.bad_samples()) == 2
    with pytest.raises(DataError, match="does not exist"):  # an evaluation leaves nothing out
        build(pairs, skip_bad_samples=True, test_mode=True)
    with pytest.raises(DataError, match="the data root does not exist"):
        build(pairs / "elsewhere")
    (pairs / "empty/left").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pair"):
        build(pairs, split="empty")


def test_indices_choose_pairs(pairs):
    assert [build(pairs, indices=[2, 0])[i]["data_samples"].sample_id for i in range(2)] == [
        "000002",
        "000000",
    ]
    assert len(build(pairs, indices=2)) == 2


def exchange(root):
    (root / "train/left").rename(root / "train/other")
    (root / "train/right").rename(root / "train/left")
    (root / "train/other").rename(root / "train/right")


def shrink(root):
    path = root / "train/right/000000.png"
    cv2.imwrite(str(path), cv2.imread(str(path))[:, :90])


def nothing_known(root):
    write_pfm(root / "train/disparity/000000.pfm", np.full((64, 96), np.inf))


def other_map(root):
    write_pfm(root / "train/disparity/000000.pfm", np.full((32, 48), 3.0))


def wrong_unit(root):
    write_pfm(root / "train/disparity/000000.pfm", np.full((64, 96), 256.0 * SHIFT))


def foreign_rig(root):
    write_rig(root / "rig.json", RectifiedRig(100.0, 0.12, 47.5, 31.5, 192, 128))


def foreign_centre(root):
    write_rig(root / "rig.json", RectifiedRig(100.0, 0.12, 95.5, 31.5, 96, 64))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (exchange, "are exchanged"),
        (shrink, "is 96 x 64 pixels, but .*right/000000.png is 90 x 64"),
        (nothing_known, "000000.pfm: no pixel of the disparity is known"),
        (other_map, "000000.pfm is 48 x 32 pixels, but the images are 96 x 64"),
        (wrong_unit, "half of the known disparities are above 1536 pixels"),
        (foreign_rig, "its calibration belongs to images of 192 x 128"),
        (foreign_centre, "cx = 95.5: the calibration belongs to images of another size"),
        (lambda root: damage(root / "train/left/000000.png"), "left/000000.png is cut off"),
        (lambda root: damage(root / "train/disparity/000000.pfm"), "000000.pfm: 96 x 64 values need"),
    ],
)
def test_faults_are_named(pairs, fault, sentence):
    fault(pairs)
    with pytest.raises(DataError, match=sentence):
        build(pairs)[0]


def test_a_bad_pair_may_be_skipped_and_is_reported(pairs):
    damage(pairs / "train/right/000001.png")
    dataset = build(pairs, skip_bad_samples=True)
    assert dataset[1]["data_samples"].sample_id == "000002"
    assert "000001.png" in dataset.bad_samples()[0]
    with pytest.raises(DataError, match=r"000001.png: .*truncated"):
        build(pairs, check_pictures=True)


def test_one_channel_images_become_three(pairs):
    for side in ("left", "right"):
        path = str(pairs / f"train/{side}/000000.png")
        cv2.imwrite(path, cv2.imread(path, cv2.IMREAD_GRAYSCALE))
    image = build(pairs)[0]["inputs"]["left"]
    assert image.shape == (3, 64, 96) and (image == image[:1]).all()


def test_scan_before_training_names_every_file(pairs):
    cfg = dict(type="SyntheticStereo", data_root=str(pairs), pipeline=LOAD)
    report = scan_dataset(dict(cfg))[0]
    assert report.ok and report.found == 3 and report.annotations == 3
    (pairs / "train/right/000000.png").unlink()
    damage(pairs / "train/left/000001.png")
    write_pfm(pairs / "train/disparity/000002.pfm", np.full((64, 96), np.inf))
    report = scan_dataset(dict(cfg))[0]
    assert [fault.rule for fault in report.faults] == ["file-missing", "truncated"]
    assert (report.found, report.missing, report.corrupt) == (1, 1, 1)
    report = scan_dataset(dict(cfg), quick=False)[0]
    assert [fault.rule for fault in report.faults] == ["file-missing", "pair", "pair"]
    assert "no pixel of the disparity is known" in str(report.faults[2])
    report = scan_dataset(dict(cfg, split="none"))[0]
    assert "does not exist" in str(report.faults[0])
