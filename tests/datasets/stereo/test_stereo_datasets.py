"""Each data set from its layout on disk: pairs that match by their ground truth, rigs, masks, selections."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.datasets.stereo import write_scaled_png
from dense3d.datasets.stereo.loading import LoadStereo
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS, METRICS, MODELS
from tests.datasets.stereo import layouts
from tests.datasets.stereo.layouts import HEIGHT, SHIFT, WIDTH

LOAD = [dict(type="LoadStereo")]


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


def build(kind, root, pipeline=LOAD, **settings):
    return DATASETS.build(dict(type=kind, data_root=str(root), pipeline=pipeline, **settings))


def warp_error(sample, offset=0.0):
    """Mean difference between the first image and the second one, moved by the ground truth."""
    if "flow" in sample:
        moves = sample["flow"] + offset
        known = np.isfinite(sample["flow"]).all(axis=2)
    else:
        sign = 1 if sample.get("reference") == "right" else -1
        moves = np.dstack([sign * (sample["disparity"] + offset), np.zeros(sample["disparity"].shape)])
        known = np.isfinite(sample["disparity"])
    if "nonoccluded" in sample:
        known = known & sample["nonoccluded"]
    rows, columns = np.indices(known.shape, dtype=np.float32)
    x, y = columns + moves[..., 0].astype(np.float32), rows + moves[..., 1].astype(np.float32)
    known &= (x >= 0) & (x <= known.shape[1] - 1) & (y >= 0) & (y <= known.shape[0] - 1)
    found = cv2.remap(sample["right"], np.where(known, x, 0), np.where(known, y, 0), cv2.INTER_LINEAR)
    return np.abs(sample["left"][known].astype(float) - found[known]).mean()


def check_pairs(dataset, count, rig=True):
    """Every pair matches by its ground truth, and less well beside it."""
    assert len(dataset) == count
    ids = [dataset.get_data_info(index)["sample_id"] for index in range(count)]
    assert len(set(ids)) == count
    for index in range(count):
        sample = dataset[index]
        assert warp_error(sample) < 6 < 15 < warp_error(sample, offset=3)  # jpeg is not exact
        assert (sample["rig"] is not None) == rig
        if rig:
            assert (sample["rig"].width, sample["rig"].height) == (WIDTH, HEIGHT)
    return [dataset[index] for index in range(count)]


@pytest.mark.parametrize("year", ["2012", "2015"])
def test_kitti_stereo(tmp_path, year):
    layouts.kitti(tmp_path, year)
    sample = check_pairs(build("KittiStereo", tmp_path, benchmark=year), 2)[1]
    assert sample["rig"].focal == 100 and sample["rig"].baseline == 0.5
    known = np.isfinite(sample["disparity"])
    assert (known & sample["nonoccluded"])[:, :40].sum() == sample["nonoccluded"].sum()
    assert (known & ~sample["nonoccluded"]).any()
    assert len(build("KittiStereo", tmp_path, benchmark=year, only=["000001_10"])) == 1
    assert len(build("KittiStereo", tmp_path, benchmark=year, without=["*1_10"])) == 1
    with pytest.raises(ConfigError, match="has no pair '00001_10'; did you mean '000001_10'"):
        build("KittiStereo", tmp_path, benchmark=year, only=["00001_10"])
    with pytest.raises(ConfigError, match="benchmark must be one of"):
        build("KittiStereo", tmp_path, benchmark="2016")
    with pytest.raises(DataError, match=r"testing/\w+ does not exist"):
        build("KittiStereo", tmp_path, benchmark=year, split="testing")


def test_driving_stereo(tmp_path):
    layouts.driving_stereo(tmp_path)
    sample = check_pairs(build("DrivingStereo", tmp_path, calibration="half-image-calib"), 2)[0]
    known = np.isfinite(sample["disparity"])
    assert np.allclose(sample["depth"][known], 50 / SHIFT, atol=1 / 256)
    assert "disparity" not in build("DrivingStereo", tmp_path, truth="depth")[0]
    (tmp_path / "train-depth-map").rename(tmp_path / "depth")
    with pytest.raises(DataError, match="has no folder of a depth-map"):
        build("DrivingStereo", tmp_path, truth="depth")
    check_pairs(build("DrivingStereo", tmp_path), 2, rig=False)


def test_a_calibration_of_driving_stereo_without_a_size_is_a_sentence(tmp_path):
    layouts.driving_stereo(tmp_path)
    path = sorted((tmp_path / "half-image-calib").iterdir())[0]
    path.write_text("".join(line for line in path.open() if not line.startswith("S_rect")))
    with pytest.raises(DataError, match=f"{path.name}: it has no line S_rect_101"):
        build("DrivingStereo", tmp_path, calibration="half-image-calib").full_init()


def test_driving_stereo_by_weather(tmp_path):
    layouts.driving_stereo(tmp_path)
    for name in ("left-image", "right-image", "disparity-map", "depth-map"):
        first = sorted((tmp_path / f"train-{name}").iterdir())[0]
        first.rename(tmp_path / f"{name}-half-size")
        shutil.rmtree(tmp_path / f"train-{name}")
    check_pairs(build("DrivingStereo", tmp_path, calibration="half-image-calib"), 1)


def test_driving_stereo_of_full_size_has_128_units_a_pixel(tmp_path):
    layouts.driving_stereo(tmp_path)
    for name in ("left-image", "right-image", "disparity-map", "depth-map"):
        (tmp_path / f"train-{name}").rename(tmp_path / f"{name}-full-size")
    for path in (tmp_path / "disparity-map-full-size").rglob("*.png"):
        write_scaled_png(path, layouts.disparity(), 128)
    check_pairs(build("DrivingStereo", tmp_path, calibration="half-image-calib"), 2)
    halved = build("DrivingStereo", tmp_path, divisor=256, truth="disparity")[0]["disparity"]
    assert (halved[np.isfinite(halved)] == SHIFT / 2).all()


def test_middlebury(tmp_path):
    layouts.middlebury(tmp_path)
    sample = check_pairs(build("Middlebury", tmp_path), 2)[0]
    assert not sample["nonoccluded"][:, :SHIFT].any() and sample["nonoccluded"][:, SHIFT:].all()
    assert build("Middlebury", tmp_path, right="im1E").get_data_info(0)["sample_id"] == "Adirondack/im1E"
    check_pairs(build("Middlebury", tmp_path, right=("im1", "im1E")), 4)


def test_middlebury_of_2021_in_all_lights(tmp_path):
    layouts.middlebury_2021(tmp_path)
    check_pairs(build("Middlebury", tmp_path), 1)
    dataset = build("Middlebury", tmp_path, views="ambient/*")
    check_pairs(dataset, 3)
    assert [dataset.get_data_info(i)["sample_id"] for i in range(3)] == [
        "artroom1/ambient/F0/im0e0", "artroom1/ambient/L0/im0e0", "artroom1/ambient/L0/im0e1"
    ]  # fmt: skip
    (tmp_path / "artroom1/ambient/F0/im1e0.png").unlink()
    with pytest.raises(DataError, match=r"F0/im1e0.png does not exist"):
        build("Middlebury", tmp_path, views="ambient/*")


@pytest.mark.parametrize(("size", "divisor"), [("full", 1), ("half", 2), ("third", 3)])
def test_middlebury_of_2006(tmp_path, size, divisor):
    layouts.middlebury_2006(tmp_path, divisor)
    for views in ("", "Illum1/Exp0"):
        sample = check_pairs(build("Middlebury", tmp_path, size=size, views=views), 1)[0]
        assert sample["rig"].doffs == 30 / divisor and sample["rig"].focal == 3740 / divisor
    layouts.pair(tmp_path / "Aloe/Illum2/Exp0/view1.png", tmp_path / "Aloe/Illum2/Exp0/view5.png")
    check_pairs(build("Middlebury", tmp_path, size=size, views="Illum*/Exp*"), 2)


def test_cre_stereo(tmp_path):
    layouts.cre_stereo(tmp_path)
    check_pairs(build("CreStereo", tmp_path), 4, rig=False)
    assert build("CreStereo", tmp_path, only=["tree/*"]).get_data_info(0)["sample_id"] == "tree/aB3_0"
    (tmp_path / "tree/zz_1_left.disp.png").unlink()
    with pytest.raises(DataError, match=r"zz_1_left.disp.png does not exist"):
        build("CreStereo", tmp_path)


def test_booster(tmp_path):
    layouts.booster(tmp_path)
    sample = check_pairs(build("Booster", tmp_path), 2)[1]
    assert sample["rig"].focal == 100 and sample["rig"].baseline == pytest.approx(0.08)
    assert not sample["nonoccluded"][:, :SHIFT].any() and sample["nonoccluded"][:, SHIFT:].all()
    assert "disparity" not in build("Booster", tmp_path, split="test")[0]
    with pytest.raises(ConfigError, match="split must be one of"):
        build("Booster", tmp_path, split="val")


def test_eth3d(tmp_path):
    layouts.eth3d(tmp_path)
    sample = check_pairs(build("Eth3d", tmp_path), 1)[0]
    assert sample["nonoccluded"].any() and sample["rig"].baseline == 0.5
    (tmp_path / "two_view_training_gt/delivery_area_1l/disp0GT.pfm").unlink()
    with pytest.raises(DataError, match=r"disp0GT.pfm does not exist"):
        build("Eth3d", tmp_path)


@pytest.mark.parametrize("sign", [1, -1])
def test_scene_flow(tmp_path, sign):
    layouts.scene_flow(tmp_path, sign)
    check_pairs(build("SceneFlow", tmp_path, passes=("clean", "final")), 8)
    check_pairs(build("SceneFlow", tmp_path, only=["TRAIN/*"]), 2)
    with pytest.raises(ConfigError, match="passes must be one of"):
        build("SceneFlow", tmp_path, passes="cleen")


def test_sintel_stereo(tmp_path):
    layouts.sintel(tmp_path)
    sample = check_pairs(build("SintelStereo", tmp_path), 4)[0]
    assert not sample["nonoccluded"][:, :20].any() and sample["nonoccluded"][:, 20:].all()
    assert sample["rig"].baseline == 0.1


def test_spring_stereo(tmp_path):
    pytest.importorskip("h5py")
    layouts.spring(tmp_path)
    check_pairs(build("SpringStereo", tmp_path), 3)
    sample = build("SpringStereo", tmp_path, references="right")[0]
    assert sample["reference"] == "right" and "frame_left" in sample["right_path"]
    check_pairs(build("SpringStereo", tmp_path, references=("left", "right")), 6)
    kept = build("SpringStereo", tmp_path, [dict(type="LoadStereo", double="keep")])[0]
    assert kept["disparity"].shape == (2 * HEIGHT, 2 * WIDTH)
    crop = [dict(type="LoadStereo", double="keep"), dict(type="RandomCropStereo", size=(32, 32))]
    with pytest.raises(DataError, match="cannot move along"):
        build("SpringStereo", tmp_path, crop)[0]


def test_flow_data_sets(tmp_path):
    layouts.kitti(tmp_path / "kitti", "2015")
    sample = check_pairs(build("KittiFlow", tmp_path / "kitti"), 2, rig=False)[0]
    assert sample["nonoccluded"][:, 40:].all() and not sample["nonoccluded"][:, :40].any()
    layouts.sintel(tmp_path / "sintel")
    check_pairs(build("SintelFlow", tmp_path / "sintel", passes="clean"), 1, rig=False)
    layouts.flying_chairs(tmp_path / "chairs")
    check_pairs(build("FlyingChairs", tmp_path / "chairs"), 2, rig=False)
    check_pairs(build("FlyingChairs", tmp_path / "chairs", split="val"), 1, rig=False)
    (tmp_path / "chairs/FlyingChairs_train_val.txt").write_text("1\n3\n")
    with pytest.raises(DataError, match="'3' is neither 1"):
        build("FlyingChairs", tmp_path / "chairs")
    layouts.scene_flow(tmp_path / "things")
    check_pairs(build("FlyingThings", tmp_path / "things"), 2, rig=False)
    check_pairs(build("FlyingThings", tmp_path / "things", directions="past", passes="final"), 1, rig=False)


def test_tartan_air_flow(tmp_path):
    layouts.tartan_air(tmp_path)
    sample = check_pairs(build("TartanAirFlow", tmp_path), 6, rig=False)[0]
    assert sample["nonoccluded"][4:, SHIFT:].all() and not sample["nonoccluded"][:, :SHIFT].any()
    dataset = build("TartanAirFlow", tmp_path, only=["office/*"])
    assert len(dataset) == 4 and dataset.get_data_info(0)["sample_id"] == "office/Easy/P001/000000"
    for inner in ("ocean", "ocean/ocean"):
        assert len(build("TartanAirFlow", tmp_path / inner)) == 2
    flow = tmp_path / "office/office/Easy/P001/flow/000000_000001_flow.npy"
    np.save(flow, np.zeros((HEIGHT, WIDTH)))
    with pytest.raises(DataError, match=r"_flow.npy holds \(48, 80\), but flow is \(H, W, 2\)"):
        build("TartanAirFlow", tmp_path)[2]


def test_intrinsics_of_spring_are_those_of_the_frames_number(tmp_path):
    pytest.importorskip("h5py")
    layouts.spring(tmp_path)
    rows = "".join(f"{focal} {focal} 39.5 23.5\n" for focal in (100, 110, 120))
    layouts.write_text(tmp_path / "train/0001/cam_data/intrinsics.txt", rows)
    (tmp_path / "train/0001/frame_left/frame_left_0001.png").unlink()
    pairs = build("SpringStereo", tmp_path)
    assert [pairs.get_data_info(i)["rig"].focal for i in range(2)] == [110, 120]
    layouts.write_text(tmp_path / "train/0001/cam_data/intrinsics.txt", rows.splitlines()[0])
    with pytest.raises(DataError, match="one a frame"):
        build("SpringStereo", tmp_path)


def test_spring_flow(tmp_path):
    pytest.importorskip("h5py")
    layouts.spring(tmp_path)
    check_pairs(build("SpringFlow", tmp_path, cameras="left"), 4, rig=False)
    assert len(build("SpringFlow", tmp_path)) == 8


REAL = [
    ("KittiStereo", "stereo/kitti2015", {}, 12.0),
    ("Middlebury", "stereo/middlebury2014/trainingQ", {}, 8.0),
    ("SceneFlow", "stereo/sceneflow", {}, 3.0),
]


@pytest.mark.parametrize(("kind", "folder", "settings", "limit"), REAL, ids=[row[0] for row in REAL])
def test_real_pairs_match_by_their_ground_truth(sample_data, kind, folder, settings, limit):
    sample = build(kind, sample_data / folder, **settings)[0]
    at_rest = warp_error({**sample, "disparity": np.where(np.isfinite(sample["disparity"]), 0.0, np.inf)})
    error, beside = warp_error(sample), warp_error(sample, offset=3)
    assert error < limit and error < at_rest / 2 and error < beside
    if "nonoccluded" in sample:
        everywhere = warp_error({key: value for key, value in sample.items() if key != "nonoccluded"})
        assert error < everywhere  # what is occluded matches worse


@pytest.mark.parametrize(("kind", "folder", "settings", "limit"), REAL, ids=[row[0] for row in REAL])
def test_real_pairs_that_are_exchanged_are_named(sample_data, kind, folder, settings, limit):
    dataset = build(kind, sample_data / folder, pipeline=[], **settings)
    record = dataset[0]
    record["left_path"], record["right_path"] = record["right_path"], record["left_path"]
    record.pop("rig")
    with pytest.raises(DataError, match="are exchanged: by the ground truth"):
        LoadStereo().transform(dict(record))
    assert LoadStereo(check_order=False).transform(dict(record))["left"].ndim == 3


@pytest.mark.parametrize(("kind", "folder", "settings", "limit"), REAL, ids=[row[0] for row in REAL])
def test_ground_truth_fed_back_has_no_error(sample_data, kind, folder, settings, limit):
    pipeline = [*LOAD, dict(type="PackStereoInputs")]
    batch = pseudo_collate([build(kind, sample_data / folder, pipeline, **settings)[0]])
    preprocessor = MODELS.build(dict(type="StereoDataPreprocessor", mean=0, std=255, pad_divisor=32))
    sample = preprocessor(batch)["data_samples"][0]
    height, width = sample.img_shape
    assert sample.gt_disparity.shape[-2] > height or height % 32 == 0
    truth = sample.gt_disparity[:, :height, :width]
    sample.pred_disparity = torch.where(torch.isfinite(truth), truth, truth.new_tensor(1.0))
    metric = METRICS.build(dict(type="DisparityMetric", protocol="kitti-2015"))
    metric.process(None, [sample.to_dict()])
    figures = metric.evaluate(1)
    assert figures["disparity/EPE"] == 0 and figures["disparity/D1"] == 0
    sample.pred_disparity = sample.pred_disparity + 4
    metric.process(None, [sample.to_dict()])
    assert metric.evaluate(1)["disparity/EPE"] == pytest.approx(4, abs=1e-3)
