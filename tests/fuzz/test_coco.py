"""COCO files, changed in many ways: every object is learned and counted, or is told of; or one sentence.

For each file the scan, the loader (with and without masks) and the metric must agree, no object may be lost
without a note, and the data set's own objects handed back as predictions must score 1.0.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_tools

from dense3d.datasets.scan import scan_coco
from dense3d.datasets.scan.coco_file import open_coco
from dense3d.errors import Dense3dError
from dense3d.evaluation.coco import CocoMetric
from dense3d.registry import DATASETS
from tests.fuzz.mutations import INFINITY, NAN, ODD_VALUES, damaged, mutated
from tests.fuzz.outcomes import REFUSED, assert_clear

WIDTH, HEIGHT = 48, 32
CLASSES = ("disk", "box")
_TEXT = mask_tools.encode(np.asfortranarray(np.tri(HEIGHT, WIDTH, dtype=np.uint8)))["counts"].decode()
MASKS: tuple[Any, ...] = (
    [[4, 5, 24, 5, 24, 15, 4, 15]],
    [[4.5, 5, 14, 5, 14, 15], [20, 20, 30, 20, 30, 30, 20, 30]],
    {"size": [HEIGHT, WIDTH], "counts": [100, 20, 12, 20, HEIGHT * WIDTH - 152]},
    {"size": [HEIGHT, WIDTH], "counts": _TEXT},
)
# What is odd in files of this format in particular.
VALUES: tuple[Any, ...] = (
    *ODD_VALUES,
    *MASKS,
    [[NAN] * 6], [[1, 2, INFINITY, 4, 5, 6]], [[1, 2, 1e30, 4, 5, 6]], [[5, 5, 5, 5, 5, 5]], [[1, 2, 3, 4]],
    [[], [1]], {"size": [10**6, 10**6], "counts": [10**12]}, {"size": [HEIGHT, WIDTH], "counts": [5, 5]},
    {"size": [HEIGHT, WIDTH], "counts": _TEXT[:-1]}, {"size": [HEIGHT, WIDTH], "counts": "\x7f"},
    {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]},
    {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    [0, 0, 0, 0], [0, 0, 1e-9, 5], [0.1, 0.1, 0.5, 0.5], [-5, -5, 20, 20], [0, 0, 400, 300], [0, 0, 1e9, 1e9],
    [60, 5, 3, 3], [1, 2, -3, 4], [NAN, 1, 2, 3], [1, 2, 3], [1, "2", 3, 4], "disk", "000.jpg", 10, 11, 2.5,
)  # fmt: skip
# What stands in files of labelling tools, each with a meaning; "absent" takes the field out.
FORMS: dict[str, tuple[Any, ...]] = {
    "area": ("absent", None, 0, -1, 12, 7.5, [], NAN),
    "iscrowd": ("absent", None, 0, 1, True, 1.0),
    "ignore": (0, 1, None, False),
    "id": ("absent", 0, 7, 8.0, "x", -3, 2**62),
    "segmentation": (
        "absent",
        None,
        [],
        [[]],
        [3, 4, 13, 4, 13, 14],
        *MASKS,
        [[9.1, 9.1, 9.2, 9.1, 9.2, 9.2]],
    ),
    "bbox": (
        "absent",
        [],
        [2, 3, 0.5, 9],
        [2, 3, 0, 9],
        [-4, -4, 12.5, 12.5],
        [0, 0, WIDTH, HEIGHT],
        [9, 9, 1, 1],
    ),
    "attributes": ({"occluded": False},),
}


@st.composite
def as_tools_write(draw: st.DrawFn) -> dict[str, Any]:
    """The sound file, with fields of some annotations as labelling tools write them."""
    document = sound()
    for annotation in document["annotations"]:
        for key in draw(st.lists(st.sampled_from(sorted(FORMS)), max_size=2, unique=True)):
            value = draw(st.sampled_from(FORMS[key]))
            if value == "absent":
                annotation.pop(key, None)
            else:
                annotation[key] = copy.deepcopy(value)
    return document


def sound() -> dict[str, Any]:
    """Three images, of which the last has no object, and objects of all kinds of masks."""
    images = [dict(id=10 + i, file_name=f"{i:03d}.jpg", width=WIDTH, height=HEIGHT) for i in range(3)]
    annotations = [
        dict(
            id=1 + i, image_id=10 + i % 2, category_id=1 + i % 2, bbox=[2.0 + 6 * i, 5, 9.5, 10 + i],
            area=80.5, iscrowd=int(i == 2), segmentation=mask,
        )
        for i, mask in enumerate(MASKS)
    ]  # fmt: skip
    categories = [dict(id=i + 1, name=name, supercategory="shape") for i, name in enumerate(CLASSES)]
    return dict(info={}, licenses=[], images=images, annotations=annotations, categories=categories)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i in range(3):
        Image.fromarray(pixels).save(root / f"{i:03d}.jpg")
    (root / "a.json").write_text(json.dumps(sound()))
    use(root / "a.json", True)  # imports and compiles what the forked processes need
    return root


def dataset(path: Path, masks: bool, **settings: Any) -> Any:
    steps = [
        dict(type="mmdet.LoadImageFromFile"),
        dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=masks),
        dict(type="mmdet.PackDetInputs"),
    ]
    cfg = dict(type="CocoDataset", data_root=str(path.parent), ann_file=path.name, data_prefix=dict(img=""))
    return DATASETS.build({**cfg, "metainfo": dict(classes=CLASSES), "pipeline": steps, **settings})


def use(path: Path, masks: bool) -> None:
    """Scan, train and evaluate on a file, and compare."""
    report = scan_coco(path, path.parent, CLASSES, masks=masks)
    try:
        train = dataset(path, masks)
        samples = [train[i]["data_samples"] for i in range(len(train))]
    except Dense3dError as error:
        assert not report.ok, f"the scan finds nothing, but the loader says: {error}"
        raise
    assert report.ok, f"the loader finds nothing, but the scan says: {report.faults[0]}"
    learned = sum(len(sample.gt_instances) for sample in samples)
    ignored = sum(len(sample.ignored_instances) for sample in samples)
    told = sum(note.rule == "box-empty" for note in report.notes)
    told += sum(
        int(n.value.split()[0]) for n in report.notes if n.rule in ("category-left-out", "mask-empty")
    )
    objects = len(json.loads(path.read_bytes())["annotations"])
    assert learned + ignored + told >= objects, f"{learned} and {ignored} of {objects}; notes {report.notes}"
    assert learned + ignored <= objects
    for metric, score in perfect(path, masks).items():
        assert score == 1.0, f"{metric}: the data's own objects score {score}"


def perfect(path: Path, masks: bool) -> dict[str, float]:
    """AP of the data's own objects by boxes, and by masks where they are loaded; nothing without objects.

    Loader and metric leave out objects without a pixel where masks count, so that both have to know of it.
    """
    data = dataset(path, masks, test_mode=True)
    evaluator = CocoMetric(ann_file=str(path), metric=["bbox", "segm"] if masks else "bbox")
    evaluator.dataset_meta = data.metainfo
    counted = 0
    for index in range(len(data)):
        sample = data[index]["data_samples"]
        truth = sample.gt_instances
        counted += len(truth)
        found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=truth.labels * 0 + 0.9)
        if masks:
            found["masks"] = truth.masks.to_tensor(bool, "cpu")
        evaluator.process({}, [{**sample.metainfo, "pred_instances": found}])
    figures = evaluator.evaluate(len(data))
    return {name: value for name, value in figures.items() if name.endswith("_mAP") and counted}


def bounded(profile: settings) -> settings:
    """Fewer examples in the default run: each reads the file six times."""
    return settings(profile, max_examples=25) if profile.max_examples < 2000 else profile


def test_the_sound_file_is_learned_as_a_whole(folder: Path) -> None:
    for masks in (True, False):
        outcome = assert_clear(use, folder / "a.json", masks)
        assert outcome.kind == "success", outcome.text
    assert not open_coco(folder / "a.json").findings.notes


def test_every_file_is_right_or_refused(profile, folder: Path) -> None:
    kinds: list[str] = []

    @bounded(profile)
    @given(as_tools_write().flatmap(lambda d: mutated(d, least=0, most=2, values=VALUES)), st.booleans())
    def ends_clearly(document: Any, masks: bool) -> None:
        path = folder / "b.json"
        path.write_text(json.dumps(document))
        kinds.append(assert_clear(use, path, masks).kind)

    ends_clearly()
    assert 0.1 < kinds.count(REFUSED) / len(kinds) < 0.95


def test_every_damaged_file_is_right_or_refused(profile, folder: Path) -> None:
    @bounded(profile)
    @given(damaged(json.dumps(sound()).encode()))
    def ends_clearly(content: bytes) -> None:
        (folder / "c.json").write_bytes(content)
        assert_clear(use, folder / "c.json", True)

    ends_clearly()
