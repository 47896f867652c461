"""JSON without NaN and infinity, which it has no words for."""

import json

import numpy as np
import pytest

from dense3d.json_files import json_text, write_json


def refused(word):
    raise AssertionError(word)


def test_numbers_that_json_has_not_are_null(tmp_path):
    document = {"a": [float("nan"), np.float32("inf")], "b": (1, True, None, "x"), "c": np.arange(2)}
    write_json(tmp_path / "a.json", document)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text, parse_constant=refused) == {
        "a": [None, None],
        "b": [1, True, None, "x"],
        "c": [0, 1],
    }
    assert text == json_text(document) + "\n"


def test_scores_of_a_perfect_picture_are_valid(tmp_path):
    from dense3d.radiance.evaluation import Scores

    Scores({"view": {"grid": (float("inf"), 1.0)}}).write(tmp_path, method="grid")
    found = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refused)
    assert found["mean"]["grid"] == {"psnr": None, "ssim": 1.0}


def test_figures_of_nothing_are_valid(tmp_path):
    from dense3d.evaluation.boxes3d import SceneBoxes, get_protocol

    bare = {"room": {"boxes": [], "labels": [], "scores": []}}
    truth, found = SceneBoxes.of({"room": {"boxes": [], "labels": []}}, ["x"]), SceneBoxes.of(bare, ["x"])
    get_protocol("nerf-rpn").evaluate(truth, found).write(tmp_path / "a.json")
    figures = json.loads((tmp_path / "a.json").read_text(), parse_constant=refused)["figures"]
    assert figures["AR_top300"] is None


def test_a_document_of_objects_is_an_error(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not (tmp_path / "a.json").exists()
