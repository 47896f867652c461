"""Typed results of classifiers: fields, pictures, tables."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from dense3d.errors import DataError
from dense3d.results import ModelInfo, Result
from dense3d.results.classification import readable, write_table

NAMES = ("cat", "dog", "bird")


def result(scores=(0.2, 0.7, 0.1), truth: int | None = None, names=NAMES) -> Result:
    sample = BaseDataElement(metainfo=dict(img_path="a/photo.jpg", ori_shape=(40, 60)))
    sample.set_field(torch.tensor(scores), "pred_scores")
    sample.set_field(torch.tensor(int(np.argmax(scores))), "pred_label")
    if truth is not None:
        sample.set_field(torch.tensor(truth), "gt_label")
    return Result.of(
        sample, ModelInfo({"classes": names}), image=np.full((40, 60, 3), 90, np.uint8), name="photo"
    )


def test_fields_have_the_class_and_all_probabilities():
    found = result()
    assert found.fields == ("label", "category", "score", "probabilities")
    assert (found.label, found.category, found.score) == (1, "dog", pytest.approx(0.7))
    assert found.probabilities.tolist() == pytest.approx([0.2, 0.7, 0.1])
    assert "70% dog, 20% cat" in repr(found)
    assert result(names=()).category == "1"


def test_pictures_show_the_best_and_the_true_class(tmp_path):
    plain, known = result().plot(), result(truth=0).plot()
    assert plain.dtype == np.uint8 and plain.shape[0] > 320 and plain.shape == known.shape
    assert (plain != known).any()
    many = [0.0] * 8
    many[7] = 1.0
    outside = result(many, truth=6, names=tuple("abcdefgh")).plot()
    assert (outside[-20:] < 255).any()  # the true class is none of the best: its own line
    assert result().save(tmp_path / "p.png").stat().st_size > 0


def test_files_are_json_and_tables(tmp_path):
    found = result()
    assert json.loads(found.save(tmp_path / "p.json").read_text()) == {
        "file_name": "photo",
        "label": 1,
        "category": "dog",
        "score": 0.7,
        "probabilities": [0.2, 0.7, 0.1],
    }
    rows = list(csv.reader(found.save(tmp_path / "p.csv").read_text().splitlines()))
    assert rows[1] == ["1", "1", "dog", "0.700000"] and len(rows) == 4
    with pytest.raises(DataError, match="KITTI"):
        found.to_kitti()
    table = io.StringIO()
    write_table(found.write(tmp_path, "photo", 1)["predictions"], table)
    lines = table.getvalue().splitlines()
    assert lines[0].startswith("file,label,category,score,category_2,score_2")
    assert lines[1] == "photo,1,dog,0.7,cat,0.2,bird,0.1"


def test_imagenets_numbers_are_words():
    assert readable("n01440764") == "tench, Tinca tinca" and readable("n99999999") == "n99999999"
