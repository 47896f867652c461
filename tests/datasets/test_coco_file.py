"""COCO files as labelling tools write them: the same objects in training and in AP, or one sentence."""

from __future__ import annotations

import codecs
import json
import math

import mmdet.datasets
import pytest

from dense3d.datasets.coco import CocoDataset
from dense3d.datasets.scan import scan_coco
from dense3d.datasets.scan.coco_file import read_coco
from dense3d.errors import ConfigError, DataError
from tests.datasets.coco_objects import BOXES, CLASSES, build, objects, perfect


def each(**values):
    """An edit of every annotation; functions get the annotation."""

    def edit(document: dict) -> None:
        for annotation in document["annotations"]:
            annotation.update({k: v(annotation) if callable(v) else v for k, v in values.items()})

    return edit


def without(*keys: str):
    def edit(document: dict) -> None:
        for annotation in document["annotations"]:
            for key in keys:
                del annotation[key]

    return edit


def from_zero(document: dict) -> None:
    for kind in ("images", "annotations", "categories"):
        first = document[kind][0]["id"]
        for entry in document[kind]:
            entry["id"] -= first
    for annotation in document["annotations"]:
        annotation["image_id"] -= 10
        annotation["category_id"] -= 1


def text_ids(document: dict) -> None:
    for image in document["images"]:
        image["id"] = f"img-{image['id']}"
    for annotation in document["annotations"]:
        annotation["image_id"] = f"img-{annotation['image_id']}"


def floats(document: dict) -> None:
    for image in document["images"]:
        image.update(id=float(image["id"]), width=48.0, height=32.0)
    for annotation in document["annotations"]:
        annotation.update({k: float(annotation[k]) for k in ("id", "image_id", "category_id", "iscrowd")})


def root_category(document: dict) -> None:
    """Roboflow puts a category before the others that no object has; it may share a name."""
    document["categories"].insert(0, dict(id=0, name="disk", supercategory="none"))


def corners(annotation: dict) -> list[list[float]]:
    x, y, w, h = annotation["bbox"]
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


FORMS = {
    "as it is": lambda d: None,
    "no area": without("area"),
    "area 0": each(area=0),
    "area -1": each(area=-1),
    "area null": each(area=None),
    "area []": each(area=[]),
    "area NaN": each(area=math.nan),
    "no iscrowd": without("iscrowd"),
    "iscrowd null": each(iscrowd=None),
    "iscrowd false": each(iscrowd=False),
    "ignore 0": each(ignore=0),
    "ids from 0": from_zero,
    "no annotation ids": without("id"),
    "text as annotation ids": each(id=lambda a: f"a{a['id']}"),
    "huge annotation ids": each(id=lambda a: 2**62 + a["id"]),
    "text as image ids": text_ids,
    "huge image ids": lambda d: [d["images"][0].update(id=2**62), d["annotations"][0].update(image_id=2**62)],
    "floats for integers": floats,
    "no masks": without("segmentation"),
    "masks null": each(segmentation=None),
    "masks []": each(segmentation=[]),
    "masks [[]]": each(segmentation=[[]]),
    "a bare polygon": each(segmentation=lambda a: corners(a)[0]),
    "no boxes": without("bbox"),
    "boxes []": lambda d: [each(segmentation=corners)(d), each(bbox=[])(d)],
    "root category": root_category,
    "category twice": lambda d: d["categories"].append(d["categories"][0]),
    "other fields": each(attributes={"occluded": False}, score=None),
}


@pytest.mark.parametrize("name", FORMS)
def test_what_labelling_tools_write_is_learned_and_counted(tiny_coco, name: str) -> None:
    tiny_coco.change(lambda d: each(segmentation=corners)(d))
    tiny_coco.document = json.loads(tiny_coco.annotation_file.read_text())
    tiny_coco.change(FORMS[name])
    learned = objects(build(tiny_coco))
    order = {tuple(box): label for box, label in learned}
    assert sorted(order.items()) == sorted((tuple(map(float, box)), label) for box, label in BOXES)
    assert scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES).ok
    assert perfect(tiny_coco) == 1.0


@pytest.mark.parametrize("area", [0, -1, None])
def test_area_is_computed_from_mask_or_box(tiny_coco, area) -> None:
    tiny_coco.change(lambda d: [each(area=area)(d), d["annotations"][0].update(segmentation=[])])
    document = read_coco(tiny_coco.annotation_file)
    assert [a["area"] for a in document["annotations"]] == [200, 200, 200]
    (note,) = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES).notes
    assert "3 annotations have no positive area" in str(note)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tiny_coco, encoding: str) -> None:
    tiny_coco.annotation_file.write_text(json.dumps(tiny_coco.document), encoding=encoding)
    marks = (codecs.BOM_UTF8, codecs.BOM_UTF16)
    assert tiny_coco.annotation_file.read_bytes().startswith(marks)
    assert objects(build(tiny_coco)) == BOXES
    assert perfect(tiny_coco) == 1.0


def test_what_is_to_be_ignored_is_a_crowd(tiny_coco) -> None:
    tiny_coco.change(lambda d: d["annotations"][0].update(ignore=1))
    dataset = build(tiny_coco)
    assert objects(dataset) == BOXES[1:]
    assert len(dataset[0]["data_samples"].ignored_instances) == 1  # no background either
    assert perfect(tiny_coco) == 1.0
    notes = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES).notes
    assert [note.rule for note in notes] == ["ignored-as-crowd"]


@pytest.mark.parametrize("crowd", [1, 1.0, True])
def test_crowds(tiny_coco, crowd) -> None:
    tiny_coco.change(lambda d: d["annotations"][0].update(iscrowd=crowd))
    assert objects(build(tiny_coco)) == BOXES[1:]
    assert perfect(tiny_coco) == 1.0


@pytest.mark.parametrize("classes", [("disk",), ("box",)])
def test_subsets_of_classes(tiny_coco, classes) -> None:
    dataset = build(tiny_coco, metainfo=dict(classes=classes))
    assert {label for _, label in objects(dataset)} == {0}
    assert len(objects(dataset)) == (2 if classes == ("disk",) else 1)
    assert perfect(tiny_coco, classes=classes) == 1.0


def test_small_boxes_count_but_are_not_learned(tiny_coco) -> None:
    """0.5 pixels are an object for pycocotools; none at all can be met by no prediction."""
    tiny_coco.change(
        lambda d: [
            d["annotations"][0].update(bbox=[4, 5, 0.5, 10]),
            d["annotations"].append({**d["annotations"][0], "id": 9, "bbox": [4, 5, 0, 10]}),
        ]
    )
    assert objects(build(tiny_coco)) == BOXES[1:]
    assert objects(build(tiny_coco, test_mode=True)) == [([4, 5, 4.5, 15], 0), *BOXES[1:]]
    assert perfect(tiny_coco) == 1.0


def test_boxes_from_0_to_1_stop_the_run(tiny_coco) -> None:
    edit = each(bbox=lambda a: [v / s for v, s in zip(a["bbox"], (48, 32, 48, 32))], segmentation=[])
    tiny_coco.change(edit)
    with pytest.raises(DataError, match=r"3 of 3 boxes are smaller than one pixel.*allow_lost_boxes"):
        build(tiny_coco)
    with pytest.raises(DataError, match="boxes-lost"):
        build(tiny_coco, skip_bad_samples=True)
    assert objects(build(tiny_coco, allow_lost_boxes=True)) == []
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES)
    assert [fault.rule for fault in report.faults] == ["boxes-lost"]
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES, allow_lost_boxes=True)
    assert report.ok


LOST = {
    "crowds": (each(iscrowd=1), "3 of 3 boxes are crowds", "iscrowd 0"),
    "masks from 0 to 1": (
        each(segmentation=lambda a: [[v / 48 for v in a["segmentation"][0]]]),
        "3 of 3 boxes are without a pixel in their mask",
        "masks in pixels",
    ),
    "two reasons": (
        lambda d: (
            d["annotations"][0].update(iscrowd=1),
            d["annotations"][1].update(bbox=[4, 5, 0.5, 9]),
        ),
        "1 of 3 boxes are smaller than one pixel, 1 of 3 boxes are crowds",
        "allow_lost_boxes",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_whatever_takes_more_than_half_of_the_objects_stops_the_run(tiny_coco, name: str) -> None:
    edit, value, remedy = LOST[name]
    tiny_coco.change(edit)
    pipeline = tiny_coco.dataset_cfg()["pipeline"]
    pipeline[1]["with_mask"] = True
    with pytest.raises(DataError, match=f"{value}.*boxes-lost.*{remedy}"):
        build(tiny_coco, pipeline=pipeline)
    assert len(build(tiny_coco, pipeline=pipeline, allow_lost_boxes=True)) == 4


def test_ids_of_images_as_text_here_and_numbers_there(tiny_coco) -> None:
    tiny_coco.change(lambda d: [image.update(id=str(image["id"])) for image in d["images"]])
    with pytest.raises(DataError, match=r"image_id 10 is not in 'images', whose ids are text.*alike"):
        build(tiny_coco)


@pytest.mark.parametrize("factor", [1 / 48 / 32, 100])
def test_areas_in_other_units_are_told_of(tiny_coco, factor: float) -> None:
    tiny_coco.change(each(area=lambda a: a["area"] * factor))
    (note,) = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES).notes
    assert note.rule == "area-differs" and "ids 1, 2, 3" in note.value


def test_a_file_without_objects_is_told_of_before_training(tiny_coco) -> None:
    tiny_coco.change(lambda d: d.update(annotations=[]))
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES)
    assert report.ok and [note.rule for note in report.notes] == ["no-objects"]
    path, images = tiny_coco.annotation_file, tiny_coco.root / "images"
    assert not scan_coco(path, images, CLASSES, annotations=False).notes


def test_half_of_the_boxes_may_be_lost(tiny_coco) -> None:
    tiny_coco.change(
        lambda d: (
            [a.update(bbox=[1, 1, 0.5, 0.5]) for a in d["annotations"][:2]]
            + [d["annotations"].append({**d["annotations"][2], "id": 4})]
        )
    )
    assert len(objects(build(tiny_coco))) == 2


REFUSED = {
    "category id twice": (
        lambda d: d["categories"][1].update(id=1),
        ["category 1", "'disk'", "'box'", "duplicate-id"],
    ),
    "category name twice": (
        lambda d: (
            d["categories"].append(dict(id=3, name="disk")) or d["annotations"][0].update(category_id=3)
        ),
        ["'disk'", "1, 3", "duplicate-name"],
    ),
    "number as text": (
        lambda d: d["annotations"][1].update(category_id="1"),
        ["annotations[1] (id 2)", "'1'"],
    ),
    "box as text": (lambda d: d["annotations"][1].update(bbox=[1, "2", 3, 4]), ["id 2", "bbox[1] is '2'"]),
    "list as id": (lambda d: d["images"][1].update(id=[3]), ["images[1]", "id is [3]"]),
    "huge id": (lambda d: d["images"][1].update(id=10**30), ["images[1]", "64 bits"]),
    "fraction as id": (lambda d: d["annotations"][1].update(category_id=1.5), ["id 2", "category_id is 1.5"]),
    "true as id": (lambda d: d["annotations"][1].update(category_id=True), ["id 2", "category_id is True"]),
    "number as name": (lambda d: d["categories"][1].update(name=5), ["categories[1]", "name is 5, not text"]),
    "iscrowd 2": (lambda d: d["annotations"][1].update(iscrowd=2), ["id 2", "iscrowd is 2"]),
    "iscrowd as text": (lambda d: d["annotations"][1].update(iscrowd="0"), ["id 2", "iscrowd is '0'"]),
    "no category": (lambda d: d["annotations"][1].pop("category_id"), ["id 2", "no 'category_id'"]),
    "misspelt": (
        lambda d: d["images"][1].update(filename=d["images"][1].pop("file_name")),
        ["images[1] (id 11)", "no 'file_name'; is it 'filename'?"],
    ),
    "an annotation that is a number": (lambda d: d["annotations"].append(5), ["annotations[3]", "it is 5"]),
    "ids of two kinds": (lambda d: d["images"][1].update(id="a"), ["partly text"]),
    "name of no file": (lambda d: d["images"][1].update(file_name="a\0b"), ["image 11", r"a\x00b"]),
    "size of half a pixel": (lambda d: d["images"][1].update(width=48.5), ["image 11", "48.5"]),
    "size of a planet": (lambda d: d["images"][1].update(width=10**6, height=10**6), ["image 11", "1000000"]),
    "no box and no mask": (
        lambda d: d["annotations"][1].update(bbox=[], segmentation=[[]]),
        ["annotation 2 of image 11", "bbox is []"],
    ),
    "box far away": (
        lambda d: d["annotations"][1].update(bbox=[0, 0, 1e30, 5]),
        ["annotation 2", "box-outside"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_uncertain_is_one_sentence(tiny_coco, name: str) -> None:
    edit, parts = REFUSED[name]
    tiny_coco.change(edit)
    report = scan_coco(tiny_coco.annotation_file, tiny_coco.root / "images", CLASSES)
    for read in (lambda: build(tiny_coco), report.raise_if_faulty):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(str(tiny_coco.annotation_file))
        for part in parts:
            assert part in str(caught.value)
        assert str(caught.value).isprintable()


def test_entries_of_wrong_types_can_be_skipped(tiny_coco) -> None:
    tiny_coco.change(lambda d: d["annotations"][1].update(bbox="5"))
    dataset = build(tiny_coco, skip_bad_samples=True)
    assert objects(dataset) == [BOXES[0], BOXES[2]]
    assert len(dataset.left_out) == 1


def test_files_of_test_images_need_no_annotations(tiny_coco) -> None:
    for edit in (lambda d: d.pop("annotations"), lambda d: d.update(annotations=None)):
        tiny_coco.change(edit)
        dataset = build(tiny_coco, test_mode=True)
        assert [dataset[i]["data_samples"].img_id for i in range(4)] == [10, 11, 12, 13]
        assert read_coco(tiny_coco.annotation_file, annotations=False)["annotations"] == []
        for read in (lambda: build(tiny_coco), lambda: read_coco(tiny_coco.annotation_file)):
            with pytest.raises(DataError, match="no list 'annotations'"):
                read()


def test_filters_that_are_unknown_are_named(tiny_coco) -> None:
    with pytest.raises(ConfigError, match=r"filter_cfg has no 'min_siz'.*'min_size'"):
        build(tiny_coco, filter_cfg=dict(min_siz=4))


def test_size_of_images_is_compared_when_they_are_loaded(tiny_coco) -> None:
    """The scan before training does it as well, but nothing scans the data of an evaluation."""
    tiny_coco.change(lambda d: d["images"][1].update(width=32, height=48))
    dataset = build(tiny_coco, test_mode=True)
    assert dataset[0]["data_samples"].img_id == 10
    with pytest.raises(DataError, match=r"001\.jpg: the image is 48 x 32 pixels but .* say 32 x 48"):
        dataset[1]


def test_sound_documents_stay_as_they_are(tiny_coco) -> None:
    assert read_coco(tiny_coco.annotation_file) == tiny_coco.document


@pytest.mark.parametrize("test_mode", [False, True])
def test_sound_data_are_loaded_as_by_mmdet(sample_data, test_mode: bool) -> None:
    root = sample_data / "coco"
    document = json.loads((root / "annotations/instances_val2017.json").read_text())
    settings = dict(
        data_root=str(root), ann_file="annotations/instances_val2017.json", data_prefix=dict(img="val2017/"),
        metainfo=dict(classes=[category["name"] for category in document["categories"]]), pipeline=[],
        filter_cfg=dict(filter_empty_gt=True, min_size=32), serialize_data=False, test_mode=test_mode,
    )  # fmt: skip
    assert CocoDataset(**settings).data_list == mmdet.datasets.CocoDataset(**settings).data_list
