"""Results of clouds: words, pictures, files, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.results import CloudReconstruction, CloudResult
from dense3d.results.cloud_boxes import CloudBoxes
from dense3d.structures import PointCloud
from dense3d.structures.cloud_files import read_cloud

POINTS = np.random.default_rng(0).random((40, 3)).astype(np.float32)
CLOUD = PointCloud(POINTS, name="chair.ply")
CLASSES = ("chair", "mug", "lamp")


def classified() -> CloudResult:
    scores = np.array([0.2, 0.7, 0.1])
    return CloudResult("chair.ply", CLOUD, CLASSES, label=1, score=0.7, scores=scores)


def segmented() -> CloudResult:
    return CloudResult("chair.ply", CLOUD, CLASSES, point_labels=np.arange(40) % 3 % 2)


def reconstructed() -> CloudResult:
    parts = CloudReconstruction(POINTS[:10], POINTS[10:], POINTS[10:] + 0.1, 0.02)
    return CloudResult("chair.ply", CLOUD, reconstruction=parts)


def test_words():
    assert str(classified()) == "mug (70%)" and classified().class_name == "mug"
    assert segmented().point_names == ["chair", "mug"] and str(segmented()) == "chair, mug"
    assert str(reconstructed()) == "a reconstruction of 75% of the patches"
    assert repr(classified()) == "<CloudResult chair.ply, 40 points: mug (70%)>"


def test_pictures_have_a_panel_for_each_view():
    one, two, three = (result.plot().shape for result in (classified(), segmented(), reconstructed()))
    assert one[0] == two[0] == three[0] and one[1] < two[1] < three[1]


@pytest.mark.parametrize("make", [classified, segmented, reconstructed])
def test_files(tmp_path, make):
    result = make()
    assert result.save(tmp_path / "a.png").stat().st_size > 0
    found = json.loads(result.save(tmp_path / "a.json").read_text())
    assert found["cloud"] == "chair.ply" and found["points"] == 40


def test_scores_and_counts_are_written_by_name():
    found = classified().to_dict()
    assert found["class"] == "mug" and found["scores"] == pytest.approx(
        {"chair": 0.2, "mug": 0.7, "lamp": 0.1}
    )
    assert segmented().to_dict()["point_classes"] == {"chair": 27, "mug": 13}


def test_coloured_clouds_keep_the_points(tmp_path):
    found = read_cloud(segmented().save(tmp_path / "a.ply"))
    assert np.allclose(found.points, POINTS) and len(np.unique(found.colors, axis=0)) == 2
    joined = read_cloud(reconstructed().save(tmp_path / "b.ply"))
    assert len(joined) == 40 and np.allclose(joined.points[10:], POINTS[10:] + 0.1, atol=1e-6)


def test_results_of_map_coordinates_are_in_the_frame_of_the_file(tmp_path):
    far = (500_000.0, 4_000_000.0, 100.0)
    cloud = PointCloud(POINTS, name="survey.las", origin=far)
    box = CloudBoxes(np.array([[1, 2, 3, 1, 1, 1, 0]], np.float32), np.zeros(1, int), np.ones(1))
    found = CloudResult("survey.las", cloud, CLASSES, boxes=box)
    assert found.to_dict()["boxes"][0]["center"] == [500_001, 4_000_002, 103]
    parts = reconstructed().reconstruction
    for result in (found, CloudResult("survey.las", cloud, reconstruction=parts)):
        back = read_cloud(result.save(tmp_path / "a.ply"))
        assert np.allclose(back.points[:10] + np.array(back.origin), POINTS[:10] + np.array(far), atol=1e-3)


def test_what_a_result_has_not_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"is mug \(70%\), which colours no points"):
        classified().save(tmp_path / "a.ply")
    failed = CloudResult("x.ply", error="x.ply is empty; copy it again")
    for ask in (failed.plot, failed.to_dict, lambda: failed.save(tmp_path / "a.png")):
        with pytest.raises(DataError, match=r"x\.ply is empty"):
            ask()
    (tmp_path / "own.ply").write_bytes(b"")
    own = CloudResult("own.ply", CLOUD, CLASSES, point_labels=np.zeros(40, int), path=tmp_path / "own.ply")
    with pytest.raises(DataError, match="is the cloud itself"):
        own.save(tmp_path / "own.ply")
