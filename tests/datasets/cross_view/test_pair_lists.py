"""Which views make pairs: covisibility against the rendered scene, closed forms, and every kind of source."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.cli.dispatch import main
from dense3d.datasets.cross_view import PairRules, make_pairs, overlap_of, read_pairs
from dense3d.datasets.posed_rgb import PosedFrame, PosedScene, read_scene
from dense3d.datasets.synthetic import make_dataset
from dense3d.datasets.synthetic.renderer import Renderer
from dense3d.datasets.synthetic.sample import make_sample
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS
from dense3d.structures.camera import PinholeCamera

SIZE = (96, 64)
K = np.array([[64.0, 0, 47.5], [0, 64, 31.5], [0, 0, 1]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs") / "data"
    assert make_dataset(
        root, layouts=("stereo",), train=2, val=1, size=SIZE, seed=2, workers=1, progress=False
    )
    return root


def scene_of(poses: list[np.ndarray]) -> PosedScene:
    cameras = [PinholeCamera(*SIZE, K, pose) for pose in poses]
    return PosedScene(
        Path(), "transforms", tuple(PosedFrame(str(i), Path(f"{i}.png"), c) for i, c in enumerate(cameras))
    )


def shifted(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def frames(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 7, np.uint8))


def test_covisibility_is_that_of_the_rendered_scene(world: Path) -> None:
    """All points of a view, each with a ray from the other camera, against some points and depth maps."""
    scene = read_scene(world / "posed/train_000000")
    renderer = Renderer(make_sample(2, "train", 0, SIZE, "stereo").scene)
    overlap = overlap_of(scene)
    assert overlap.distance is None
    np.testing.assert_allclose(np.diag(overlap.covisible), 1)
    exact, angle = np.ones((8, 8)), np.zeros((8, 8))
    for i, first in enumerate(scene.frames):
        depth = first.read_depth()
        points = first.camera.unproject(first.camera.pixel_grid()[depth > 0], depth[depth > 0])
        for j, second in enumerate(scene.frames):
            pixels, ahead = second.camera.project(points)
            inside = (ahead > 0) & (pixels >= -0.5).all(1) & (pixels <= np.array(SIZE) - 0.5).all(1)
            seen = inside & renderer.reaches(second.camera.position, points, 1e-2)
            exact[i, j] = seen.mean()
            lines = [points[seen] - frame.camera.position for frame in (first, second)]
            lines = [line / np.linalg.norm(line, axis=1)[:, None] for line in lines]
            angle[i, j] = np.degrees(np.median(np.arccos(np.clip((lines[0] * lines[1]).sum(1), -1, 1))))
    assert exact.min() < 0.75
    assert np.abs(overlap.covisible - exact).max() < 0.09
    assert np.abs(overlap.covisible - exact).mean() < 0.03
    assert np.abs(overlap.angle - angle).max() < 1.5
    np.testing.assert_array_equal(overlap.mutual, overlap.mutual.T)


def test_frusta_without_depth_have_closed_forms() -> None:
    overlap = overlap_of(scene_of([shifted(0), shifted(0.5), shifted(50)]), distance=2.0)
    # a plane at z moves by f * 0.5 / z pixels of 96, for z = 1, 2, 4
    expected = np.mean([1 - 64 * 0.5 / z / 96 for z in (1, 2, 4)])
    assert abs(overlap.covisible[0, 1] - expected) < 1 / 16
    assert overlap.covisible[0, 2] == 0 and np.isinf(overlap.angle[0, 2])
    assert overlap.distance == 2.0
    around = []
    for degrees in (0, 30, 90, 180):
        turn = np.radians(degrees)
        position = (5 * np.sin(turn), -5 * np.cos(turn), 0.0)
        around.append(PinholeCamera.look_at(position, (0, 0, 0), *SIZE, fov=1.2).camera_to_world)
    overlap = overlap_of(scene_of(around))
    assert overlap.distance == pytest.approx(5)
    assert overlap.covisible[0, 1] > overlap.covisible[0, 2] > 0.5
    assert abs(overlap.angle[0, 1] - 30) < 10 and overlap.angle[0, 2] > 60
    # a parallel pair looks at no common place: the extent of its places stands in
    assert overlap_of(scene_of([shifted(0), shifted(3)])).distance == pytest.approx(3)
    assert overlap_of(scene_of([shifted(0), shifted(0)])).distance == 1


def test_the_synthetic_world_gives_pairs_of_both_kinds(world: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "train.txt"
    assert main(["make-pairs", str(world), "--split", "train", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "(sequences: 1 posed, 1 rectified)" in told and f"data_root={str(world)!r}" in told
    pairs = read_pairs(out)
    assert ("train/left/000001.png", "train/right/000001.png") in pairs
    posed = [pair for pair in pairs if pair[0].startswith("posed/")]
    assert len(pairs) == len(posed) + 2 and 10 < len(posed) <= 28
    assert not [pair for pair in pairs if "val" in pair[0]]
    dataset = DATASETS.build(
        dict(type="dense3d.CrossViewPairs", data_root=str(world), ann_file=str(out), pipeline=[])
    )
    assert len(dataset) == len(pairs)
    report = make_pairs(world, tmp_path / "all.txt")
    assert dict(report.sequences) == {"rectified": 2, "posed": 2}


def test_every_left_out_pair_has_a_reason(world: Path, tmp_path: Path) -> None:
    folder = world / "posed/train_000000"
    overlap = overlap_of(read_scene(folder))
    upper = np.triu_indices(8, 1)
    mutual, angle = overlap.mutual[upper], np.maximum(overlap.angle, overlap.angle.T)[upper]
    least, angles = float(np.median(mutual)), (3.0, float(np.sort(angle)[-4]))
    report = make_pairs(folder, tmp_path / "p.txt", PairRules(covisibility=least, angle=angles))
    kept = (mutual >= least) & (angle >= angles[0]) & (angle <= angles[1])
    assert 0 < kept.sum() < 28 and len(report.pairs) == kept.sum()
    assert len(report.pairs) + sum(report.left_out.values()) == 28
    lines = "\n".join(report.lines())
    assert f"left out: {(mutual < least).sum()} posed pairs with covisibility below {least:g}" in lines
    own = make_pairs(folder, tmp_path / "p.txt", PairRules(0.0, (0, 180), split="val"))
    assert own.pairs == [("images/0003.png", "images/0007.png")]


def test_frames_of_a_video_are_paired_within_the_gap(tmp_path: Path) -> None:
    frames(tmp_path / "in/film a", [f"frame{number}.png" for number in (1, 2, 9, 10, 11)])
    frames(tmp_path / "in/short", ["only.jpg"])
    (tmp_path / "in/film a/frame9.png").write_bytes(b"no picture")
    report = make_pairs(tmp_path / "in", tmp_path / "p.txt", PairRules(gap=(1, 2)))
    names = [
        tuple(Path(name).stem.removeprefix("frame") for name in pair)
        for pair in read_pairs(tmp_path / "p.txt")
    ]
    assert names == [("1", "2"), ("1", "10"), ("2", "10"), ("2", "11"), ("10", "11")]
    assert report.left_out == {"pictures that are damaged": 1, "folders with no two pictures 1 apart": 1}
    both = make_pairs(tmp_path / "in", tmp_path / "q.txt", PairRules(gap=(1, 2), limit=3, both_orders=True))
    assert len(both.pairs) == 6 and both.pairs[1] == both.pairs[0][::-1]
    assert both.left_out["pairs beyond the limit"] == 2
    again = make_pairs(tmp_path / "in", tmp_path / "q.txt", PairRules(gap=(1, 2), limit=3, both_orders=True))
    assert again.pairs == both.pairs


def test_rectified_folders_need_both_pictures(tmp_path: Path) -> None:
    frames(tmp_path / "left", ["0.png", "1.png"])
    frames(tmp_path / "right", ["0.jpg"])
    report = make_pairs(tmp_path, tmp_path / "p.txt")
    assert report.pairs == [("left/0.png", "right/0.jpg")]
    assert report.left_out == {"left pictures without a right one": 1}


def test_nothing_is_written_where_there_is_no_pair(tmp_path: Path, capsys) -> None:
    frames(tmp_path / "in", ["0.png"])
    out = tmp_path / "p.txt"
    out.write_text("a b\n")
    with pytest.raises(
        DataError, match=r"no pair of views .*1 folders with no two pictures 1 apart.*nothing was"
    ):
        make_pairs(tmp_path / "in", out)
    with pytest.raises(ConfigError, match="is no folder"):
        make_pairs(tmp_path / "none", out)
    frames(tmp_path / "in", ["1.png"])
    with pytest.raises(DataError, match="no folder called train, and pictures have no splits"):
        make_pairs(tmp_path / "in", out, PairRules(split="train"))
    assert out.read_text() == "a b\n"
    for words, told in (
        (["--gap", "0", "2"], "number of frames from 1"),
        (["--covisibility", "2"], "fraction from 0 to 1"),
        (["--angle", "9", "3"], "0 to 180 degrees"),
        (["--distance", "0"], "must be positive"),
        (["--limit", "0"], "at least one pair"),
    ):
        assert main(["make-pairs", str(tmp_path / "in"), "--out", str(out), *words]) == 2
        assert told in capsys.readouterr().err


def test_lost_views_are_counted(tmp_path: Path) -> None:
    frames(tmp_path, ["0.png", "1.png"])
    entries = [
        dict(file_path=f"{number}.png", transform_matrix=shifted(0.1 * number).tolist())
        for number in range(3)
    ]
    content = dict(fl_x=8.0, w=8, h=8, frames=entries)
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    report = make_pairs(tmp_path, tmp_path / "p.txt", PairRules(distance=1.0))
    assert report.pairs == [("0.png", "1.png")]
    assert report.left_out == {"posed pictures without file or pose": 1}
    assert "surfaces are assumed some 1 units away (--distance)" in report.lines()[-1]
