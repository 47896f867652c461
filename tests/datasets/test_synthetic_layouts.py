"""What the writers write, read back with the layouts' own tools and compared with the instance maps."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from dense3d.datasets.synthetic import CATEGORIES, STUFF_CLASSES, THING_CLASSES, make_dataset
from dense3d.datasets.synthetic import polygons as polygons_module
from dense3d.datasets.synthetic.sample import MIN_VISIBLE_FRACTION, Sample, make_sample
from dense3d.datasets.synthetic.writers import coco as coco_module

SEED, SIZE = 0, (96, 72)
COUNTS = {"train": 24, "val": 6}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "all"
    layouts = ("coco", "coco_panoptic", "ade20k")
    make_dataset(folder, layouts, **COUNTS, size=SIZE, seed=SEED, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """The training samples again, straight from the renderer."""
    return [make_sample(SEED, "train", index, SIZE) for index in range(COUNTS["train"])]


@pytest.fixture(scope="module")
def coco(root: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(root / "annotations" / "instances_train2017.json"))


def expected_things(sample: Sample) -> list[tuple[str, bool, np.ndarray]]:
    """(class, iscrowd, mask) of what must be annotated, from the instance map alone."""
    masks: dict[tuple, np.ndarray] = {}
    for item in sample.scene.objects:
        if item.category in THING_CLASSES:
            key = (item.category, bool(item.cluster), item.cluster or item.instance_id)
            seen = sample.frames[0].instance == item.instance_id
            masks[key] = masks.get(key, False) | seen
    least = MIN_VISIBLE_FRACTION * SIZE[0] * SIZE[1]
    return [(name, crowd, mask) for (name, crowd, _), mask in masks.items() if mask.sum() >= least]


def test_examples() -> None:
    for module in (polygons_module, coco_module):
        assert doctest.testmod(module).failed == 0


def test_coco_lists_every_image_with_its_size(root: Path) -> None:
    for split, count in COUNTS.items():
        content = json.loads((root / "annotations" / f"instances_{split}2017.json").read_text())
        assert len({image["id"] for image in content["images"]}) == len(content["images"]) == count
        assert len(list((root / f"{split}2017").iterdir())) == count
        for image in content["images"]:
            picture = cv2.imread(str(root / f"{split}2017" / image["file_name"]))
            assert picture.shape == (image["height"], image["width"], 3) == (SIZE[1], SIZE[0], 3)
        assert tuple(category["name"] for category in content["categories"]) == THING_CLASSES
        ids = [annotation["id"] for annotation in content["annotations"]]
        assert ids == list(range(1, len(ids) + 1))


def test_coco_masks_boxes_and_areas_are_those_of_the_instance_map(coco: COCO, samples: list[Sample]) -> None:
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    for sample in samples:
        annotations = coco.imgToAnns[sample.index + 1]
        expected = expected_things(sample)
        assert len(annotations) == len(expected)
        for annotation, (name, crowd, mask) in zip(annotations, expected):
            assert (names[annotation["category_id"]], bool(annotation["iscrowd"])) == (name, crowd)
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()
            encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
            assert annotation["bbox"] == coco_mask.toBbox(encoded).tolist()


def test_crowds_are_run_lengths_and_single_things_polygons(coco: COCO) -> None:
    crowds = [a for a in coco.anns.values() if a["iscrowd"]]
    assert crowds, "no heap among these samples: choose another seed"
    assert all(isinstance(a["segmentation"]["counts"], list) for a in crowds)
    assert all(isinstance(a["segmentation"], list) for a in coco.anns.values() if not a["iscrowd"])


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_polygons_and_run_lengths_give_any_mask_back(mask: np.ndarray) -> None:
    height, width = mask.shape
    polygons = polygons_module.mask_to_polygons(mask)
    if mask.any():
        decoded = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
        np.testing.assert_array_equal(decoded, mask)
    else:
        assert polygons == []
    counted = coco_mask.frPyObjects(coco_module.run_lengths(mask), height, width)
    np.testing.assert_array_equal(coco_mask.decode(counted), mask)


def test_panoptic_png_and_json_agree(root: Path, samples: list[Sample]) -> None:
    content = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    kinds = {category["id"]: category for category in content["categories"]}
    assert tuple(c["name"] for c in kinds.values() if c["isthing"]) == THING_CLASSES
    assert tuple(c["name"] for c in kinds.values() if not c["isthing"]) == STUFF_CLASSES
    assert len(content["annotations"]) == len(samples)
    for annotation, sample in zip(content["annotations"], samples):
        png = cv2.imread(str(root / "annotations" / "panoptic_train2017" / annotation["file_name"]))
        blue, green, red = np.moveaxis(png.astype(int), -1, 0)
        ids = red + 256 * green + 65536 * blue
        infos = {info["id"]: info for info in annotation["segments_info"]}
        assert len(infos) == len(annotation["segments_info"])
        assert set(np.unique(ids)) - {0} == set(infos)
        seen = set()
        for number, info in infos.items():
            mask = ids == number
            assert info["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            x, y, width, height = info["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
            assert (sample.frames[0].category[mask] == info["category_id"]).all()
            if kinds[info["category_id"]]["isthing"]:
                things = np.unique(sample.frames[0].instance[mask])
                assert info["iscrowd"] or len(things) == 1
            else:
                assert info["category_id"] not in seen, "a stuff class has one segment"
                seen.add(info["category_id"])
        void = np.isin(sample.frames[0].category[ids == 0], [c.id for c in CATEGORIES if c.isthing])
        assert void.all(), "only slivers of things may be void"


def test_panoptic_and_instances_hold_the_same_things(root: Path, coco: COCO) -> None:
    content = json.loads((root / "annotations" / "panoptic_train2017.json").read_text())
    for annotation in content["annotations"]:
        things = [info for info in annotation["segments_info"] if info["category_id"] <= len(THING_CLASSES)]
        expected = coco.imgToAnns[annotation["image_id"]]
        keys = ("category_id", "iscrowd", "area", "bbox")
        assert [[a[key] for key in keys] for a in things] == [[a[key] for key in keys] for a in expected]


def test_ade20k_labels_are_the_class_map_without_slivers(root: Path, samples: list[Sample]) -> None:
    table = (root / "objectInfo.txt").read_text().splitlines()[1:]
    assert [row.split("\t") for row in table] == [[str(c.id), c.name] for c in CATEGORIES]
    assert len(list((root / "images" / "validation").iterdir())) == COUNTS["val"]
    for sample in samples:
        name = f"ADE_train_{sample.index + 1:08d}"
        labels = cv2.imread(str(root / "annotations" / "training" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert (root / "images" / "training" / f"{name}.jpg").is_file()
        expected = np.where(np.isin(sample.frames[0].category, [7, 8, 9]), sample.frames[0].category, 0)
        for category, _, mask in expected_things(sample):
            expected[mask] = THING_CLASSES.index(category) + 1
        np.testing.assert_array_equal(labels, expected)
