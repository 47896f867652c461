"""Pairs of known disparity through a matcher: maps, metres, clouds, folders and videos, and nothing lost."""

from __future__ import annotations

import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import dense3d
from dense3d.apis import PairPredictor
from dense3d.cli.dispatch import main
from dense3d.datasets.stereo.pfm import read_pfm
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.stereo.block_matching import SemiGlobalMatching
from dense3d.structures import RectifiedRig, StereoSample

HEIGHT, WIDTH, FAR, NEAR = 96, 200, 4, 16
RIG = RectifiedRig(focal=100.0, baseline=0.4, cx=99.5, cy=47.5, width=WIDTH, height=HEIGHT)
SQUARE = (slice(30, 70), slice(90, 140))  # of the left image; nearer than the rest
CONFIG = """
model = dict(type="KnowingMatcher")
test_dataloader = dict(batch_size=1, dataset=dict(type="SyntheticStereo", data_root="none",
    pipeline=[dict(type="LoadStereo"), dict(type="PackStereoInputs")]))
test_cfg = dict(type="TestLoop")
test_evaluator = dict(type="DisparityMetric")
default_scope = "dense3d"
"""


@MODELS.register_module(force=True)
class KnowingMatcher(SemiGlobalMatching):
    """Semi-global matching with a weight, so that there is a checkpoint."""

    def __init__(self, **arguments) -> None:
        super().__init__(disparities=32, **arguments)
        self.weight = nn.Parameter(torch.ones(1))


@MODELS.register_module(force=True)
class MatcherOfFrames(KnowingMatcher):
    """One that says of itself what networks of flow do."""

    field = "flow"


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A pair: a square of disparity NEAR before a wall of disparity FAR."""
    random = np.random.default_rng(seed)
    wall, square = (random.integers(0, 255, (HEIGHT, WIDTH + 60, 3), dtype=np.uint8) for _ in range(2))
    wall, square = (cv2.GaussianBlur(one, (0, 0), 0.8) for one in (wall, square))
    left, right = wall[:, 30 : 30 + WIDTH].copy(), wall[:, 30 + FAR : 30 + FAR + WIDTH].copy()
    rows, columns = SQUARE
    left[SQUARE] = square[SQUARE]
    right[rows, columns.start - NEAR : columns.stop - NEAR] = square[SQUARE]
    return left, right


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "config.py").write_text(CONFIG)
    torch.save({"state_dict": {"weight": torch.ones(1)}, "meta": {}}, folder / "model.pth")
    (folder / "rig.json").write_text(json.dumps(asdict(RIG)))
    for number in range(3):
        for side, image in zip(("left", "right"), scene(number)):
            (folder / side).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / side / f"{number}.png"), image[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def predictor(place):
    return dense3d.load(place / "config.py", place / "model.pth", device="cpu")


@pytest.fixture(scope="module")
def result(predictor):
    return predictor(*scene(), RIG)


def inner(array: np.ndarray) -> np.ndarray:
    return array[36:64, 96:134]


def test_disparity_becomes_depth_in_metres(result):
    assert np.median(inner(result.disparity)) == pytest.approx(NEAR, abs=0.1)
    assert np.median(result.disparity[:20, 60:]) == pytest.approx(FAR, abs=0.1)
    np.testing.assert_allclose(np.median(inner(result.depth)), 100 * 0.4 / NEAR, rtol=0.01)
    np.testing.assert_allclose(result.depth_deviation, result.depth**2 / 40 * result.deviation, rtol=1e-5)
    assert "depth" in repr(result) and result.rig == RIG


def test_what_the_right_camera_does_not_see_is_occluded(result):
    strip = result.occluded[34:66, 90 - (NEAR - FAR) : 90]  # of the wall, left of the square
    assert strip.mean() > 0.7
    assert result.occluded[5:25, 60:190].mean() < 0.02 and inner(result.occluded).mean() < 0.02


def test_views_agree_where_matching_is_easy(result):
    assert np.median(result.deviation[5:25, 60:190]) < 0.1
    assert result.deviation[34:66, 78:90].mean() > 1


def test_the_right_view_is_that_of_the_exchanged_mirrored_pair(predictor, result):
    left, right = scene()
    mirrored = predictor(right[:, ::-1].copy(), left[:, ::-1].copy())
    np.testing.assert_array_equal(result.right_disparity, mirrored.disparity[:, ::-1])


def test_a_smaller_picture_for_the_network_gives_maps_of_the_images(place):
    half = PairPredictor(place / "config.py", place / "model.pth", "cpu", scale=0.5)
    result = half(*scene(), RIG)
    assert result.disparity.shape == (HEIGHT, WIDTH)
    assert np.median(inner(result.disparity)) == pytest.approx(NEAR, abs=1)
    np.testing.assert_allclose(result.depth, RIG.depth(result.disparity), rtol=1e-6)


def test_a_cloud_holds_the_planes(result, tmp_path):
    cloud = result.to_cloud(zfar=5.0)
    assert 0 < len(cloud) < 2500 and np.median(cloud.points[:, 2]) == pytest.approx(2.5, rel=0.02)
    whole = result.to_cloud(remove_invisible=False, remove_isolated=False)
    assert len(whole) == np.isfinite(result.depth).sum() > len(result.to_cloud())
    columns = whole.points[:, 0] / whole.points[:, 2] * RIG.focal + RIG.cx
    assert np.abs(columns - np.rint(columns)).max() < 1e-6  # a point lies on its pixel's ray
    import open3d

    read = open3d.io.read_point_cloud(str(result.save(tmp_path / "cloud.ply")))
    assert len(read.points) == len(result.to_cloud()) and read.has_colors()


def test_batches_are_single_pairs(place, predictor):
    both = dense3d.load(place / "config.py", place / "model.pth", device="cpu", batch_size=2)
    many = both(place / "left", place / "right", place / "rig.json")
    for number, one in enumerate(many):
        single = predictor(place / f"left/{number}.png", place / f"right/{number}.png", RIG)
        np.testing.assert_array_equal(one.disparity, single.disparity)
        np.testing.assert_array_equal(one.depth, single.depth)


def test_pairs_without_a_calibration_have_no_depth(predictor):
    bare = predictor(*scene())
    assert "depth" not in bare and "disparity" in bare
    with pytest.raises(DataError, match="--calib"):
        bare.to_cloud()


@pytest.mark.parametrize(
    "left, right, rig, words",
    [
        (0, np.zeros((96, 100, 3), np.uint8), None, "differ in size"),
        (0, 0, RIG.resized(100, 48), "100"),
        (0, [np.zeros((8, 8, 3), np.uint8)] * 2, None, "1 left and 2 right"),
        ("nowhere.png", 0, None, "names no image"),
    ],
)
def test_pairs_that_are_none_are_a_sentence(predictor, left, right, rig, words):
    sides = [scene()[i] if isinstance(side, int) else side for i, side in enumerate((left, right))]
    with pytest.raises(DataError, match=words):
        predictor(*sides, rig)


def words_of(place, out, *more, left="left", right="right"):
    words = ["infer", place / "config.py", place / "model.pth", place / left, place / right, "--out", out]
    return [*map(str, words), "--device", "cpu", *more]


def test_the_command_writes_maps_and_clouds(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words_of(place, out, "--calib", str(place / "rig.json"), "--cloud", "--zfar", "20")) == 0
    assert "3 pairs" in capsys.readouterr().out
    for number in range(3):
        disparity = read_pfm(out / "disparity" / f"{number}.pfm")
        depth = cv2.imread(str(out / "depth" / f"{number}.png"), cv2.IMREAD_UNCHANGED) / 256
        known = np.isfinite(disparity) & (disparity > 0.2)
        np.testing.assert_allclose(depth[known], (40 / disparity)[known], atol=1 / 256)
        assert cv2.imread(str(out / "pictures" / f"{number}.jpg")).std() > 10
        assert (out / "clouds" / f"{number}.ply").stat().st_size > 10000
        assert cv2.imread(str(out / "clouds" / f"{number}.jpg")).min() < 128


def test_confidence_and_the_error_of_depth_are_written(place, tmp_path):
    assert main(words_of(place, tmp_path, "--calib", str(place / "rig.json"))) == 0
    maps = {n: read_pfm(tmp_path / n / "0.pfm") for n in ("deviation", "confidence", "depth_deviation")}
    depth = RIG.depth(read_pfm(tmp_path / "disparity" / "0.pfm"))
    known = np.isfinite(depth)
    expected = depth[known] ** 2 / (RIG.focal * RIG.baseline) * maps["deviation"][known]
    np.testing.assert_allclose(maps["depth_deviation"][known], expected, rtol=1e-4)
    assert np.isposinf(maps["depth_deviation"][~known]).all()
    confidence = maps["confidence"]
    assert confidence.min() >= 0 and confidence.max() <= 1


@pytest.mark.parametrize(("unit", "metres"), [("mm", 0.001), ("in", 0.0254)])
def test_a_baseline_in_another_unit(place, tmp_path, capsys, unit, metres):
    storage = cv2.FileStorage(str(tmp_path / "p.yml"), cv2.FILE_STORAGE_WRITE)
    camera = np.array([[RIG.focal, 0, RIG.cx, 0], [0, RIG.focal, RIG.cy, 0], [0, 0, 1, 0]])
    storage.write("P1", camera)
    camera[0, 3] = -RIG.focal * RIG.baseline / metres
    storage.write("P2", camera)
    storage.release()
    calib = ["--calib", str(tmp_path / "p.yml")]
    if unit == "mm":  # 400 metres
        assert main(words_of(place, tmp_path / "a", *calib)) == 2
        assert "--unit of the command" in capsys.readouterr().err
    assert main(words_of(place, tmp_path / "b", *calib, "--unit", unit)) == 0
    assert main(words_of(place, tmp_path / "c", "--calib", str(place / "rig.json"))) == 0
    depths = [cv2.imread(str(tmp_path / run / "depth/0.png"), cv2.IMREAD_UNCHANGED) for run in "bc"]
    assert np.abs(np.subtract(*depths, dtype=np.int64)).max() <= 1


def test_one_view_does_not_tell_what_is_invisible(place, tmp_path, capsys):
    calib = ("--calib", str(place / "rig.json"), "--one-view", "--cloud")
    assert main(words_of(place, tmp_path, *calib, left="left/0.png", right="right/0.png")) == 0
    assert "clouds keep what is invisible" in capsys.readouterr().err


def test_files_whose_names_have_no_partner(place, tmp_path, capsys):
    for side, names in (("left", (0, 1, 2)), ("right", (1, 2, 3))):
        (tmp_path / side).mkdir()
        for number, name in enumerate(names):
            (tmp_path / side / f"{name}.png").write_bytes((place / side / f"{number}.png").read_bytes())
    sides = dict(left=tmp_path / "left", right=tmp_path / "right")
    assert main(words_of(place, tmp_path / "out", **sides)) == 2
    assert "0, 3 has no partner" in capsys.readouterr().err


def test_folders_whose_names_sort_unlike_are_refused(place, tmp_path, capsys):
    for side, names in (("left", ("l1", "l2", "l10")), ("right", ("r01", "r02", "r10"))):
        (tmp_path / side).mkdir()
        for number, name in enumerate(names):
            (tmp_path / side / f"{name}.png").write_bytes((place / side / f"{number}.png").read_bytes())
    sides = dict(left=tmp_path / "left", right=tmp_path / "right")
    assert main(words_of(place, tmp_path / "out", **sides)) == 2
    assert "l10.png would be paired with r02.png" in capsys.readouterr().err


def test_lists_of_consecutive_frames_are_pairs_of_flow_and_not_of_stereo(place, predictor):
    frames = [place / f"left/{number}.png" for number in range(3)]
    with pytest.raises(DataError, match="0, 2 has no partner"):
        predictor(frames[:-1], frames[1:])
    options = {"model.type": "MatcherOfFrames"}
    flow = PairPredictor(place / "config.py", place / "model.pth", "cpu", options=options, both_views=False)
    assert [one.name for one in flow(frames[:-1], frames[1:])] == ["0.png", "1.png"]


def test_one_corrupt_image_of_a_sequence_is_left_out(place, tmp_path, capsys):
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        for number in range(3):
            content = (place / side / f"{number}.png").read_bytes()
            cut = side == "right" and number == 1
            (tmp_path / side / f"{number}.png").write_bytes(content[: len(content) // 2] if cut else content)
    out = tmp_path / "out"
    assert main(words_of(place, out, left=tmp_path / "left", right=tmp_path / "right")) == 1
    said = capsys.readouterr()
    assert "2 pairs" in said.out and "right/1.png" in said.err
    assert sorted(path.name for path in (out / "disparity").iterdir()) == ["0.pfm", "2.pfm"]


def video(path, images):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    for image in images:
        writer.write(np.ascontiguousarray(image[..., ::-1]))
    writer.release()
    return path


def test_videos_are_read_frame_by_frame(place, tmp_path, capsys):
    sides = [video(tmp_path / f"{i}.avi", [scene(number)[i] for number in range(3)]) for i in range(2)]
    out = tmp_path / "out"
    assert main(words_of(place, out, left=sides[0], right=sides[1])) == 0
    assert "3 pairs" in capsys.readouterr().out
    pictures = cv2.VideoCapture(str(out / "pictures.mp4"))
    assert pictures.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert pictures.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert np.median(inner(read_pfm(out / "disparity/000001.pfm"))) == pytest.approx(NEAR, abs=0.5)


def test_what_one_of_two_videos_lacks_is_said(place, tmp_path, capsys):
    sides = [video(tmp_path / f"{i}.avi", [scene(n)[i] for n in range(3 - i)]) for i in range(2)]
    assert main(words_of(place, tmp_path / "out", left=sides[0], right=sides[1])) == 1
    said = capsys.readouterr()
    assert "2 pairs" in said.out and "1.avi ends after 2 frames" in said.err
    assert (tmp_path / "out/pictures.mp4").is_file()


def test_swapped_pairs_are_told_of(place, tmp_path, capsys):
    assert main(words_of(place, tmp_path / "out", left="right/0.png", right="left/0.png")) == 0
    assert "left and right are swapped" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, sentence",
    [
        (["--cloud"], "give --calib"),
        (["--scale", "2"], "(0, 1]"),
        (["--zfar", "-1"], "no distance"),
        (["--zfar", "5"], "--cloud"),
        (["--unit", "mm"], "--calib"),
        (["--tta"], "tta"),
    ],
)
def test_odd_options_are_a_sentence(place, tmp_path, capsys, more, sentence):
    assert main(words_of(place, tmp_path / "out", *more)) == 2
    assert sentence in capsys.readouterr().err


def test_a_single_image_is_refused_and_so_are_its_options_elsewhere(place, tmp_path, capsys):
    words = words_of(place, tmp_path / "out")
    assert main([*words[:4], *words[5:]]) == 2 and "LEFT and RIGHT" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="matches two images"):
        dense3d.apis.infer(place / "config.py", place / "model.pth", [place / "left"], tmp_path / "out")
    detector = [
        "infer",
        "dino_r18_synthetic-coco",
        "x.pth",
        str(place / "left"),
        "--out",
        str(tmp_path),
        "--cloud",
    ]
    assert main(detector) == 2 and "--cloud is for stereo" in capsys.readouterr().err


def test_flow_has_the_size_and_the_pixels_of_the_images():
    from dense3d.results.flow import Flow
    from dense3d.results.part import ModelInfo

    small = torch.stack([torch.full((10, 20), 2.0), torch.full((10, 20), -1.0)])
    sample = StereoSample(metainfo={"ori_shape": (30, 40)})
    sample.pred_flow, sample.pred_deviation = small, torch.ones(1, 10, 20)
    flow = Flow.read(sample, ModelInfo())
    np.testing.assert_allclose(flow.flow, np.broadcast_to([4.0, -3.0], (30, 40, 2)), rtol=1e-6)
    assert flow.draw(np.zeros((30, 40, 3), np.uint8)).shape[0] > 30 and "5.0 px" in str(flow)
