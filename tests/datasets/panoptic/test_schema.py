"""Types of a panoptic JSON file: a sentence with file, entry and field, and what is sound goes on working."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dense3d.datasets.panoptic import read_categories, read_panoptic, read_predictions
from dense3d.errors import DataError

GOOD = {
    "images": [{"id": 7, "file_name": "7.jpg", "height": 4, "width": 4}],
    "annotations": [
        {"image_id": 7, "file_name": "7.png", "segments_info": [{"id": 300, "category_id": 1, "iscrowd": 0}]}
    ],
    "categories": [{"id": 1, "name": "cup", "isthing": 1}, {"id": 9, "name": "sky", "isthing": 0}],
}


def segment(d: dict) -> dict:
    return d["annotations"][0]["segments_info"][0]


FAULTS = {
    "image id": (lambda d: d["images"][0].update(id=[7]), r"images\[0\] \(id \[7\]\): id is \[7\], not"),
    "file name": (lambda d: d["images"][0].update(file_name=7), "file_name is 7, not text"),
    "height": (lambda d: d["images"][0].update(height="4"), "height is '4', not a"),
    "fraction": (
        lambda d: d["images"][0].update(height=4.5),
        r"height is 4\.5, not a whole number of pixels",
    ),
    "huge": (lambda d: d["images"][0].update(width=10**30), "width is 10{30}, not a whole number"),
    "negative": (lambda d: d["images"][0].update(width=-4), "width is -4, not a whole number"),
    "control": (
        lambda d: d["images"][0].update(file_name="a\n.jpg"),
        r"file_name is 'a\\n.jpg', which names no",
    ),
    "long": (lambda d: d["annotations"][0].update(file_name="x" * 300), "which names no file"),
    "category id": (lambda d: d["categories"][0].update(id="1"), "id is '1', not a whole number"),
    "category list": (lambda d: d["categories"].append([1]), r"categories\[2\]"),
    "name": (lambda d: d["categories"][0].update(name=5), "name is 5, not text"),
    "isthing": (lambda d: d["categories"][0].update(isthing=None), "'cup' has isthing None"),
    "two": (lambda d: d["categories"][0].update(isthing=2), "'cup' has isthing 2; write 1"),
    "image of": (lambda d: d["annotations"][0].update(image_id=None), r"annotations\[0\]: image_id is None"),
    "segments": (
        lambda d: d["annotations"][0].update(segments_info=None),
        "segments_info is a NoneType, not a",
    ),
    "segment": (lambda d: d["annotations"][0].update(segments_info=["a"]), r"image 7 .*no 'id': 'a'"),
    "segment id": (
        lambda d: segment(d).update(id="300"),
        r"segments_info\[0\] \(id '300'\): id is '300', not",
    ),
    "boolean": (lambda d: segment(d).update(id=True), r"segments_info\[0\] \(id True\): id is True, not"),
    "category of": (lambda d: segment(d).update(category_id=[1]), r"category_id is \[1\], not a whole"),
    "crowd": (lambda d: segment(d).update(iscrowd=2), "segment 300 has iscrowd 2; write 1"),
    "id twice": (lambda d: d["categories"][1].update(id=1), "the id 1 occurs twice in 'categories'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_types(tmp_path: Path, name: str) -> None:
    change, sentence = FAULTS[name]
    document = copy.deepcopy(GOOD)
    change(document)
    (tmp_path / "p.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=rf"p\.json: .*{sentence}") as caught:
        read_panoptic(tmp_path / "p.json")
    assert "\n" not in str(caught.value)


def test_what_tools_write_otherwise_is_read(tmp_path: Path) -> None:
    document = copy.deepcopy(GOOD)
    document["images"][0].update(id=7.0, height=4.0, license=None)
    document["annotations"][0].update(image_id=7.0, id=12)
    segment(document).update(id=300.0, category_id=1.0, iscrowd=None, area=None, extra=[{}])
    document["categories"][0].update(isthing=True, supercategory=None)
    path = tmp_path / "p.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    panoptic = read_panoptic(path)
    assert panoptic.images[7]["height"] == 4
    assert panoptic.annotations[7]["segments_info"][0]["id"] == 300
    assert read_predictions(path, {1: {}}).annotations[7]["file_name"] == "7.png"
    assert read_categories(path)[0]["isthing"] == 1


def test_categories_alone(tmp_path: Path) -> None:
    for change, sentence in (
        ([{"id": "1", "name": "a", "isthing": 1}], "id is '1', not a whole number"),
        (
            [{"id": 1, "name": "a", "isthing": 1}, {"id": 1, "name": "b", "isthing": 0}],
            "the id 1 occurs twice",
        ),
    ):
        (tmp_path / "c.json").write_text(json.dumps(change))
        with pytest.raises(DataError, match=rf"c\.json: .*{sentence}"):
            read_categories(tmp_path / "c.json")
