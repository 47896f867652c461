"""Panoptic maps, instances and maps of classes: there and back, and against the official example."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_tools

from dense3d.datasets.panoptic import (
    Instance,
    counted_segments,
    decode_segments,
    instances_of,
    panoptic_of,
    read_id_map,
    read_panoptic,
    semantic_map_of,
    to_coco_instances,
)
from dense3d.errors import DataError

CATEGORIES = {1: {"isthing": 1}, 2: {"isthing": 1}, 10: {"isthing": 0}, 11: {"isthing": 0}}
LABELS = {1: 0, 2: 1, 10: 2, 11: 3}


def content(ids: np.ndarray, segments: list[dict]) -> set[tuple]:
    """What a panoptic map says, whatever its ids."""
    return {(s["category_id"], s["iscrowd"], s["area"], (ids == s["id"]).tobytes()) for s in segments}


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(arrays(np.uint32, (6, 7), elements=st.integers(0, 5)), st.permutations([1, 1, 2, 10, 11]))
def test_there_and_back(ids: np.ndarray, categories: list[int]) -> None:
    listed = [
        {"id": i, "category_id": c, "iscrowd": int(i == 1 and c < 10)}
        for i, c in enumerate(categories, start=1)
    ]
    segments = counted_segments(ids, listed)
    instances = instances_of(ids, segments, CATEGORIES)
    semantic = semantic_map_of(ids, segments, LABELS)
    assert ((semantic == 255) == (ids == 0)).all()
    again = panoptic_of(instances, semantic, {2: 10, 3: 11})
    assert content(*again) == content(ids, segments)


@settings(deadline=None, max_examples=60)  # first calls import or compile
@given(arrays(np.int64, (5, 6), elements=st.sampled_from([0, 1000, 2000, 1001, 2, 3, 1003, 255])))
def test_coded_maps(coded: np.ndarray) -> None:
    ids, labels = decode_segments(coded, num_classes=3)
    for value in np.unique(coded):
        inside = coded == value
        (number,) = np.unique(ids[inside])
        assert (ids == number)[inside].all()
        assert number == 0 if value % 1000 >= 3 else labels[number - 1] == value % 1000
    assert sorted(set(ids.ravel()) - {0}) == list(range(1, len(labels) + 1))
    assert (decode_segments(coded, 3, ignore_index=2)[0][coded == 2] == 0).all()


def test_overlapping_and_empty_masks_are_refused() -> None:
    semantic = np.full((2, 2), 255)
    left, all_of_it = np.array([[1, 0], [1, 0]], bool), np.ones((2, 2), bool)
    with pytest.raises(
        DataError, match=r"a\.json: instance 2 of 2 \(category 2\) overlaps instance 1 in 2 pix"
    ):
        panoptic_of([Instance(left, 1), Instance(all_of_it, 2)], semantic, {}, "a.json")
    with pytest.raises(DataError, match=r"instance 1 of 1 \(category 1\) has an empty mask"):
        panoptic_of([Instance(~all_of_it, 1)], semantic, {})
    with pytest.raises(DataError, match=r"has a mask of \(3, 2\), but the map of classes is \(2, 2\)"):
        panoptic_of([Instance(np.ones((3, 2), bool), 1)], semantic, {})


@pytest.mark.parametrize("fill", [0, 255])
def test_no_things_or_nothing_at_all(fill: int) -> None:
    ids, segments = panoptic_of([], np.full((2, 3), fill), {0: 10})
    assert [s["area"] for s in segments] == ([6] if fill == 0 else [])
    assert instances_of(ids, segments, CATEGORIES) == []
    assert (semantic_map_of(ids, segments, {10: 0}) == fill).all()


def test_instances_of_the_official_example(sample_data, tmp_path) -> None:
    """panopticapi converts its two examples to the detection format, things and stuff as run lengths."""
    folder = sample_data / "coco_panoptic_examples"
    document = json.loads((folder / "panoptic_examples.json").read_text())
    names = json.loads((folder / "panoptic_coco_categories.json").read_text())
    document["categories"] = names
    (tmp_path / "p.json").write_text(json.dumps(document))
    converted = to_coco_instances(read_panoptic(tmp_path / "p.json"), folder / "panoptic_examples")
    official = json.loads((folder / "panoptic_coco_detection_format.json").read_text())
    things = {c["id"] for c in names if c["isthing"]}

    def shapes(annotations: list[dict]) -> list[tuple]:
        return sorted(
            (a["image_id"], a["category_id"], int(a["area"]), tuple(a["bbox"]),
             mask_tools.decode(a["segmentation"]).tobytes())
            for a in annotations
            if a["category_id"] in things
        )  # fmt: skip

    expected = official if isinstance(official, list) else official["annotations"]
    assert shapes(converted["annotations"]) == shapes(expected)
    assert len(converted["annotations"]) > 3


def test_crowds_stay_crowds(sample_data) -> None:
    path = sample_data / "coco_panoptic" / "annotations" / "panoptic_train2017.json"
    panoptic = read_panoptic(path)
    converted = to_coco_instances(panoptic, path.with_suffix(""))
    kinds = {c["id"]: c["isthing"] for c in panoptic.document["categories"]}
    listed = [
        s for a in panoptic.document["annotations"] for s in a["segments_info"] if kinds[s["category_id"]]
    ]
    assert len(converted["annotations"]) == len(listed)
    assert sum(a["iscrowd"] for a in converted["annotations"]) == sum(s["iscrowd"] for s in listed) > 0
    image = next(iter(panoptic.annotations.values()))
    ids = read_id_map(path.with_suffix("") / image["file_name"])
    assert [s["bbox"] for s in counted_segments(ids, image["segments_info"])] == [
        s["bbox"] for s in image["segments_info"]
    ]
