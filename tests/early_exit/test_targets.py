"""The derived data set: utilities, the file and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dense3d.early_exit.targets import ExitTargets, best_depths
from dense3d.errors import DataError

QUALITY = {"1": (0.5, 0.6, 0.65), "2": (0.4, 0.4, 0.4), "photo_3": None}


def targets(beta: float = 0.01, **changes) -> ExitTargets:
    return ExitTargets(**dict(exits=(2, 3, 4), beta=beta, quality=QUALITY, gflops=(1.0, 1.5, 2.0)) | changes)


def test_a_layer_has_to_earn_beta():
    rising = np.array([[0.0, 0.3, 0.5, 0.6]])  # gains of 0.3, 0.2 and 0.1
    found = [best_depths(rising, (2, 3, 4, 5), beta).item() for beta in (0.0, 0.15, 0.25, 0.35)]
    assert found == [5, 4, 3, 2]


def test_mean_depth_never_grows_with_beta():
    quality = np.random.default_rng(0).random((500, 5))
    means = [best_depths(quality, range(2, 7), beta).mean() for beta in (0, 0.001, 0.01, 0.05, 0.2, 1)]
    assert means == sorted(means, reverse=True) and means[-1] == 2 and means[0] > 3.5


def test_the_shallowest_of_equals_is_taken():
    assert best_depths(np.full((2, 5), 0.3), range(2, 7), 0.0).tolist() == [2, 2]


def test_file_round_trip(tmp_path):
    path = tmp_path / "sub" / "depths.json"
    targets(origin="a.py, b.pth").write(path)
    again = ExitTargets.read(path)
    assert again == targets(origin="a.py, b.pth")
    assert (again.depths, again.counts()) == ({"1": 4, "2": 2}, [1, 0, 1])
    assert again.mean_quality() == pytest.approx([0.45, 0.5, 0.525])
    assert [again.class_of(image) for image in (1, "2", "photo_3")] == [2, 0, -1]
    assert [p.name for p in path.parent.iterdir()] == ["depths.json"]  # no temporary file is left


def test_another_beta_needs_no_other_qualities():
    assert targets(beta=0.0).with_beta(0.2).depths == {"1": 2, "2": 2}


def test_unknown_image_is_named():
    with pytest.raises(DataError, match=r"depths\.json has no image 77: .*derive-depths"):
        targets().class_of(77, "depths.json")


def test_missing_and_truncated_files_are_refused(tmp_path):
    path = tmp_path / "depths.json"
    with pytest.raises(DataError, match=r"depths\.json does not exist: make it with dense3d derive-depths"):
        ExitTargets.read(path)
    targets().write(path)
    text = path.read_text()
    for cut in (0, 1, len(text) // 2, len(text) - 1):
        path.write_text(text[:cut])
        with pytest.raises(DataError, match="is no readable JSON file"):
            ExitTargets.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(format="coco"), "its format is 'coco'"),
        (dict(exits=[2, 4, 5]), "each one layer deeper"),
        (dict(exits=[]), "each one layer deeper"),
        (dict(beta=None), "beta is None, but must be a number"),
        (dict(beta=0.5), "image 1 aims at depth 4, but its qualities and beta=0.5 give 2"),
        (dict(gflops=[1.0]), "gflops is .*must be 3 numbers"),
        (dict(images=[]), "must be a table by image id"),
        (dict(images={"1": {"depth": 3, "quality": [0.5, 0.6]}}), "must be 3 numbers in 0 .. 1"),
        (dict(images={"1": {"depth": 4, "quality": [0.5, 0.6, 65]}}), "must be 3 numbers in 0 .. 1"),
        (dict(images={"1": {"depth": 9, "quality": [0.5, 0.6, 0.65]}}), "aims at depth 9, but .* give 4"),
        (dict(images={"1": {"depth": 4, "quality": None}}), "aims at depth 4, but .* give None"),
        (dict(images={"1": 4}), "quality of image 1 is False"),
    ],
)
def test_files_that_cannot_be_are_refused(tmp_path, change, message):
    path = tmp_path / "depths.json"
    targets().write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        ExitTargets.read(path)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="its format is 'list'"):
        ExitTargets.read(tmp_path / "list.json")
