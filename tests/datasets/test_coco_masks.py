"""Polygons and run lengths of COCO files: checked first, and scored as pycocotools does."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from pycocotools import mask as mask_tools

from dense3d.datasets.scan import scan_coco
from dense3d.datasets.scan.coco_file import read_coco
from dense3d.datasets.scan.coco_masks import mask_areas, mask_box, runs_of
from dense3d.errors import DataError
from tests.datasets.coco_objects import BOXES, CLASSES, LOAD, MASKS, build, objects, perfect


def rle(counts, size=(32, 48)) -> dict:
    return dict(counts=counts, size=list(size))


PIXELS = 32 * 48
SOUND_RLE = mask_tools.encode(np.asfortranarray(np.eye(32, 48, dtype=np.uint8)))["counts"].decode()
BAD_MASKS = {
    "NaN": ([[1, 2, math.nan, 4, 5, 6]], "polygon-not-finite"),
    "Infinity": ([[1, 2, math.inf, 4, 5, 6]], "polygon-not-finite"),
    "1e10": ([[1, 2, 1e10, 4, 5, 6]], "polygon-outside"),
    "1e30": ([[1, 2, -1e30, 4, 5, 6]], "polygon-outside"),
    "in a second part": ([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 1e30]], "polygon-outside"),
    "two vertices": ([[1, 2, 3, 4]], "polygon-format"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "polygon-format"),
    "numbers and lists": ([[1, 2, 3, 4, 5, 6], 7], "polygon-format"),
    "rle of [1e6, 1e6]": (rle([10**12], (10**6, 10**6)), "rle-size"),
    "rle turned": (rle([PIXELS], (48, 32)), "rle-size"),
    "rle of one side": (rle([PIXELS], (32,)), "rle-format"),
    "rle too short": (rle([5, 5]), "rle-counts"),
    "rle too long": (rle([5, 5, 10**9]), "rle-counts"),
    "rle huge": (rle([10**30]), "rle-counts"),
    "rle negative": (rle([5, -5, PIXELS]), "rle-counts"),
    "rle of fractions": (rle([5.5, PIXELS - 5.5]), "rle-format"),
    "text too short": (rle(SOUND_RLE[:-2]), "rle-counts"),
    "text of another size": (rle(SOUND_RLE, (48, 32)), "rle-size"),
    "text of other letters": (rle("\x00\x01~é"), "rle-format"),
    "text that breaks off": (rle(SOUND_RLE + "o"), "rle-format"),
    "empty text": (rle(""), "rle-counts"),
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_masks_are_checked_before_pycocotools_sees_them(tiny_coco, name: str) -> None:
    mask, rule = BAD_MASKS[name]
    tiny_coco.change(lambda d: d["annotations"][1].update(segmentation=mask))
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES)
    assert [fault.rule for fault in report.faults] == [rule]
    assert "annotation 2 of image 11" in str(report.faults[0])
    for steps in (LOAD, MASKS):
        with pytest.raises(DataError, match=rule):
            build(tiny_coco, pipeline=steps)
    with pytest.raises(DataError, match=rule):
        read_coco(tiny_coco.annotation_file)


@pytest.mark.parametrize(
    "mask",
    [
        [[4, 5, 24, 5, 24, 15, 4, 15], [30, 5, 40, 5, 40, 15]],
        [4.5, 5, 24, 5, 24, 15, 4, 15],
        [[-20, -10, 60, -10, 60, 40, -20, 40]],
        rle(SOUND_RLE),
        rle([0, PIXELS]),
        rle([10.0, 5.0, PIXELS - 15.0], (32.0, 48.0)),
    ],
    ids=["parts", "bare", "beyond the image", "text", "full", "floats"],
)
def test_sound_masks_score_perfectly(tiny_coco, mask) -> None:
    tiny_coco.change(lambda d: d["annotations"][1].update(segmentation=mask))
    assert scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES).ok
    assert perfect(tiny_coco, "segm") == 1.0


@pytest.mark.parametrize("mask", [[], [[]], None, "absent"])
def test_masks_that_are_absent_are_wanted_or_not(tiny_coco, mask) -> None:
    tiny_coco.change(
        lambda d: (
            d["annotations"][1].pop("segmentation")
            if mask == "absent"
            else d["annotations"][1].update(segmentation=mask)
        )
    )
    assert objects(build(tiny_coco)) == BOXES
    with pytest.raises(DataError, match=r"annotation 2 of image 11: it has no mask.*mask-missing"):
        build(tiny_coco, pipeline=MASKS)
    assert len(build(tiny_coco, pipeline=MASKS, skip_bad_samples=True)) == 3


def test_masks_without_a_pixel_are_left_out_where_masks_count(tiny_coco) -> None:
    dot = [[9.1, 9.1, 9.2, 9.1, 9.2, 9.2]]
    tiny_coco.change(lambda d: d["annotations"].append({**d["annotations"][0], "id": 9, "segmentation": dot}))
    assert perfect(tiny_coco, "segm") == 1.0
    assert len(read_coco(tiny_coco.annotation_file)["annotations"]) == 4


def test_run_lengths_where_polygons_alone_are_read(tiny_coco) -> None:
    tiny_coco.change(lambda d: d["annotations"][1].update(segmentation=rle([0, PIXELS])))
    steps = copy.deepcopy(MASKS)
    steps[1]["poly2mask"] = False
    with pytest.raises(DataError, match=r"annotation 2 .*mask-no-polygon.*poly2mask=True"):
        build(tiny_coco, pipeline=steps)


def test_areas_of_polygons_are_coco_s(sample_data) -> None:
    document = json.loads((sample_data / "coco/annotations/instances_val2017.json").read_text())
    annotations = [a for a in document["annotations"] if not a["iscrowd"]]
    stated = [annotation["area"] for annotation in annotations]
    computed = mask_areas([annotation["segmentation"] for annotation in annotations])
    np.testing.assert_allclose(computed, stated, atol=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_as_pycocotools_reads_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = (random.random(random.integers(1, 60, 2)) < random.random() ** 3).astype(np.uint8)
    encoded = mask_tools.encode(np.asfortranarray(mask))
    runs = runs_of(encoded["counts"].decode())
    size = list(mask.shape)
    assert mask_tools.frPyObjects(dict(counts=runs, size=size), *size) == encoded
    own = dict(counts=encoded["counts"].decode(), size=size)
    assert mask_areas([own, []]).tolist() == [mask.sum(), 0]
    assert mask_box(own) == (mask_tools.toBbox(encoded).tolist() if mask.any() else None)
