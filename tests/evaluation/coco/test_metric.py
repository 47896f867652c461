"""COCO's metric against pycocotools and mmdet, on sound data, and on what either of them gets wrong."""

from __future__ import annotations

import copy
import json
import logging

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmdet.evaluation.functional.recall import _recalls
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.coco import CocoMetric, proposal_recall
from dense3d.evaluation.evaluators import with_our_metrics

CLASSES = ("disk", "box", "cone")
SIZE = (300, 400)


def scene(images: int = 12, seed: int = 0, objects: int = 9) -> dict:
    """Random boxes and masks of all sizes in ``images`` images."""
    random = np.random.default_rng(seed)
    annotations = []
    for image in range(images):
        for _ in range(random.integers(0, objects)):
            width, height = random.choice([20, 60, 150], 2) * random.uniform(0.6, 1.4, 2)
            x, y = random.uniform(0, SIZE[1] - width), random.uniform(0, SIZE[0] - height)
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 + image,
                    "category_id": int(random.choice([2, 5, 7])),
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(random.random() < 0.1),
                    "segmentation": [corners],
                }
            )
    return {
        "images": [
            {"id": 10 + i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]}
            for i in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in zip((2, 5, 7), CLASSES)],
    }


def corners(annotation: dict) -> list[float]:
    x, y, width, height = annotation["bbox"]
    return [x, y, x + width, y + height]


def sample(document: dict, image: object, jitter: float = 0.0, seed: int = 0, masks: bool = False) -> dict:
    """The image's objects as predictions; with ``jitter`` they move, and some are of another class."""
    random = np.random.default_rng(seed)
    labels = {category["id"]: i for i, category in enumerate(document["categories"])}
    own = [a for a in document["annotations"] if a["image_id"] == image and not a.get("iscrowd")]
    boxes = np.array([corners(a) for a in own], dtype=np.float32).reshape(-1, 4)
    classes = np.array([labels[a["category_id"]] for a in own], dtype=int)
    scores = np.ones(len(own))
    if jitter:
        boxes = np.concatenate([boxes + random.normal(0, jitter, boxes.shape), boxes + 40]).astype(np.float32)
        classes = np.where(
            random.random(len(boxes)) < 0.2, random.integers(0, 3, len(boxes)), np.tile(classes, 2)
        )
        scores = random.random(len(boxes))
    instances = {
        "bboxes": torch.from_numpy(boxes),
        "labels": torch.from_numpy(classes),
        "scores": torch.from_numpy(scores),
    }
    if masks:
        instances["masks"] = [rle.encode(_filled(box)) for box in boxes]
    return {"img_id": image, "ori_shape": SIZE, "pred_instances": instances}


def _filled(box: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = np.clip(box, 0, 400).round().astype(int)
    mask = np.zeros(SIZE, dtype=np.uint8, order="F")
    mask[y1:y2, x1:x2] = 1
    return mask


def write(folder, document: dict, name: str = "truth.json") -> str:
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


def evaluate(metric, samples: list[dict], classes=CLASSES) -> dict[str, float]:
    metric.dataset_meta = {"classes": classes}
    metric.process({}, copy.deepcopy(samples))
    return metric.evaluate(len(samples))


@pytest.fixture(scope="module")
def jittered() -> tuple[dict, list[dict]]:
    document = scene(40)
    images = [image["id"] for image in document["images"]]
    return document, [sample(document, image, 6.0, seed=image, masks=True) for image in images]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict(metric=["bbox", "segm"], classwise=True),
        dict(metric="proposal"),
        dict(metric=["proposal", "bbox"], metric_items=["AR@100", "mAP", "mAP_s", "AR_l@1000"]),
        dict(use_mp_eval=True),
    ],
    ids=["bbox", "masks", "proposal", "items", "processes"],
)
def test_figures_are_those_of_mmdet(tmp_path, jittered, settings):
    document, samples = jittered
    path = write(tmp_path, document)
    theirs = evaluate(MMDetCocoMetric(path, **settings), samples)
    ours = evaluate(CocoMetric(path, **settings), samples)
    assert list(ours) == list(theirs)
    assert all(0 < value < 1 for value in ours.values())
    assert {k: float(v) for k, v in ours.items()} == {k: float(v) for k, v in theirs.items()}


def test_average_precision_is_pycocotools(tmp_path, jittered):
    document, samples = jittered
    path = write(tmp_path, document)
    prefix = str(tmp_path / "out")
    ours = evaluate(CocoMetric(path, outfile_prefix=prefix), samples)
    truth = COCO(path)
    official = COCOeval(truth, truth.loadRes(f"{prefix}.bbox.json"), "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert list(ours.values()) == pytest.approx(official.stats[:6].round(3))


def test_only_predicted_images_count(tmp_path):
    document = scene(20)
    path = write(tmp_path, document)
    samples = [sample(document, image) for image in (12, 15, 11)]
    assert evaluate(CocoMetric(path), samples)["coco/bbox_mAP"] == 1.0
    figures = evaluate(CocoMetric(path, metric="proposal_fast"), samples)
    assert figures == {"coco/AR@100": 1.0, "coco/AR@300": 1.0, "coco/AR@1000": 1.0}


def test_ids_may_be_strings(tmp_path):
    document = scene(3)
    for entry in (*document["images"], *document["annotations"]):
        key = "image_id" if "image_id" in entry else "id"
        entry[key] = f"frame_{entry[key]}"
    path = write(tmp_path, document)
    samples = [sample(document, image["id"]) for image in document["images"]]
    assert evaluate(CocoMetric(path), samples)["coco/bbox_mAP"] == 1.0


def test_an_image_predicted_twice_is_refused(tmp_path):
    document = scene(3)
    samples = [sample(document, image) for image in (10, 11, 10)]
    with pytest.raises(DataError, match="image 10 was predicted twice"):
        evaluate(CocoMetric(write(tmp_path, document)), samples)


def test_an_image_that_the_file_lacks_is_refused(tmp_path):
    document = scene(3)
    path = write(tmp_path, document)
    with pytest.raises(DataError, match=r"truth\.json: image 99 of the data set is not in it"):
        evaluate(CocoMetric(path), [{**sample(document, 10), "img_id": 99}])


def test_a_class_that_the_data_lack_is_refused(tmp_path):
    document = scene(3)
    path = write(tmp_path, document)
    wrong = sample(document, 10)
    wrong["pred_instances"]["labels"][:] = 5
    with pytest.raises(DataError, match="predicts the class number 5, but the data set has 3 classes"):
        evaluate(CocoMetric(path), [wrong])


def test_figures_without_an_object_are_not_minus_one(tmp_path, caplog):
    document = scene(3)
    document["annotations"] = [a for a in document["annotations"] if a["area"] < 32 * 32]
    path = write(tmp_path, document)
    samples = [sample(document, image) for image in (10, 11, 12)]
    told = sentences(caplog, lambda: evaluate(CocoMetric(path, classwise=True), samples))
    figures, (sentence,) = told
    assert figures["coco/bbox_mAP"] == figures["coco/bbox_mAP_s"] == 1.0
    assert np.isnan(figures["coco/bbox_mAP_m"]) and np.isnan(figures["coco/bbox_mAP_l"])
    assert sentence.startswith(
        "bbox: mAP_m, mAP_l: n/a, since no object of the evaluated images is of 32 x 32"
    )


def test_nothing_annotated_has_no_precision_and_nothing_predicted_has_none_of_zero(tmp_path):
    document = scene(3)
    path = write(tmp_path, document)
    nothing = sample({**document, "annotations": []}, 10)
    assert evaluate(CocoMetric(path, metric=["bbox", "proposal"]), [nothing])["coco/bbox_mAP"] == 0.0
    document["annotations"] = []
    assert np.isnan(evaluate(CocoMetric(write(tmp_path, document)), [nothing])["coco/bbox_mAP"])


def sentences(caplog, call) -> tuple:
    """What a call gives, and the warnings that it shows."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.propagate, caplog.handler.level = True, logging.WARNING
    logger.addHandler(caplog.handler)
    try:
        result = call()
    finally:
        logger.removeHandler(caplog.handler)
    return result, list(dict.fromkeys(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING))


def crowded(objects: int) -> dict:
    """One image with so many objects of a class, and a few of another."""
    document = scene(1, objects=1)
    document["annotations"] = [
        {
            "id": i + 1,
            "image_id": 10,
            "category_id": 2 if i < objects else 5,
            "bbox": [12 * (i % 30), 14 * (i // 30), 10, 10 + i % 3],
            "area": 100,
            "iscrowd": 0,
        }
        for i in range(objects + 3)
    ]
    return document


def test_more_objects_than_detections_count_is_said(tmp_path, caplog):
    document = crowded(503)
    path = write(tmp_path, document)
    perfect = [sample(document, 10)]
    figures, told = sentences(caplog, lambda: evaluate(CocoMetric(path), perfect))
    assert figures["coco/bbox_mAP"] < 0.7 and figures["coco/bbox_mAP_50"] == 1.0
    (said,) = [text for text in told if "503" in text]
    assert "image 10 has 503 objects of one class, more than the 100 detections that mAP can count" in said
    assert "proposal_nums=(1000,)" in said
    caplog.clear()
    figures, told = sentences(caplog, lambda: evaluate(CocoMetric(path, proposal_nums=(1000,)), perfect))
    assert figures["coco/bbox_mAP"] == figures["coco/bbox_mAP_50"] == 1.0
    assert not any("503" in text for text in told)


def test_a_hundred_objects_are_no_news(tmp_path, caplog):
    document = crowded(100)
    path = write(tmp_path, document)
    figures, told = sentences(caplog, lambda: evaluate(CocoMetric(path), [sample(document, 10)]))
    assert figures["coco/bbox_mAP"] == 1.0 and not any("100 objects" in text for text in told)


@pytest.mark.parametrize("thresholds", [0.5, [0.5, 0.75], [0.75, 0.9]])
def test_other_overlaps(tmp_path, thresholds):
    document = scene(6)
    path = write(tmp_path, document)
    samples = [sample(document, image) for image in range(10, 16)]
    figures = evaluate(CocoMetric(path, iou_thrs=thresholds, classwise=True), samples)
    assert figures["coco/bbox_mAP"] == 1.0
    for overlap in (0.5, 0.75):
        value = figures[f"coco/bbox_mAP_{overlap * 100:.0f}"]
        assert value == 1.0 if overlap in np.atleast_1d(thresholds) else np.isnan(value)


def test_recalls_are_named_by_what_they_count(tmp_path):
    document = scene(6)
    path = write(tmp_path, document)
    samples = [sample(document, image) for image in range(10, 16)]
    figures = evaluate(CocoMetric(path, metric="proposal", proposal_nums=(1, 10)), samples)
    assert figures["coco/AR@1"] < figures["coco/AR@10"] == figures["coco/AR_s@10"] == 1.0
    with pytest.raises(ConfigError, match="there is no figure 'AR@300'"):
        CocoMetric(path, metric="proposal", proposal_nums=(1, 10), metric_items=["AR@300"])


def test_fast_recall_is_mmdets(jittered):
    document, samples = jittered
    truth = [
        np.array([corners(a) for a in document["annotations"] if a["image_id"] == s["img_id"]]).reshape(-1, 4)
        for s in samples
    ]
    found = [s["pred_instances"]["bboxes"].numpy() for s in samples]
    limits, thresholds = np.array([1, 5, 100]), np.linspace(0.5, 0.95, 10)
    from mmdet.evaluation.functional import bbox_overlaps

    overlaps = np.empty(len(truth), dtype=object)
    overlaps[:] = [bbox_overlaps(t.astype(np.float32), p) for t, p in zip(truth, found)]
    theirs = _recalls(overlaps, limits, thresholds).mean(axis=1)
    assert 0 < theirs[0] < theirs[2]
    assert proposal_recall(truth, found, limits.tolist(), thresholds).tolist() == pytest.approx(
        theirs.tolist()
    )


def test_format_only_writes_and_measures_nothing(tmp_path):
    document = scene(3)
    prefix = str(tmp_path / "results/out")
    metric = CocoMetric(write(tmp_path, document), format_only=True, outfile_prefix=prefix)
    assert evaluate(metric, [sample(document, 12)]) == {}
    assert {row["image_id"] for row in json.loads((tmp_path / "results/out.bbox.json").read_text())} == {12}
    with pytest.raises(ConfigError, match="outfile_prefix"):
        CocoMetric(write(tmp_path, document), format_only=True)


def test_annotations_may_come_with_the_samples(tmp_path):
    document = scene(4)
    labels = {category["id"]: i for i, category in enumerate(document["categories"])}
    samples = []
    for image in (10, 11, 12):
        own = [a for a in document["annotations"] if a["image_id"] == image]
        instances = [
            dict(bbox=corners(a), bbox_label=labels[a["category_id"]], ignore_flag=a["iscrowd"]) for a in own
        ]
        samples.append({**sample(document, image), "instances": instances})
    metric = CocoMetric()
    assert evaluate(metric, samples)["coco/bbox_mAP"] == 1.0
    assert evaluate(metric, samples[:1])["coco/bbox_mAP"] == 1.0  # the next validation


def test_mistakes_in_the_arguments_are_named(tmp_path):
    with pytest.raises(ConfigError, match="measures bbox, segm, proposal, proposal_fast, not 'boxes'"):
        CocoMetric(metric="boxes")
    with pytest.raises(ConfigError, match="there is no figure 'mAP50'; did you mean 'mAP_50'"):
        CocoMetric(metric_items=["mAP50"])


def test_mmdets_types_become_ours_wherever_they_stand():
    inherited = [dict(type="CocoMetric", _scope_="mmdet", metric="bbox"), dict(type="mmseg.IoUMetric")]
    changed = with_our_metrics(inherited)
    assert [one["type"] for one in changed] == ["dense3d.CocoMetric", "mmseg.IoUMetric"]
    assert inherited[0]["type"] == "CocoMetric"
    assert with_our_metrics(dict(type=MMDetCocoMetric))["type"] == "dense3d.CocoMetric"
    nested = dict(type="mmdet.MultiDatasetsEvaluator", metrics=[dict(type="mmdet.CocoMetric")])
    assert with_our_metrics(nested)["metrics"][0]["type"] == "dense3d.CocoMetric"
    assert with_our_metrics(dict(type="mmdet.LVISMetric"))["type"] == "mmdet.LVISMetric"


def labelling_tools_write(document: dict) -> None:
    """What pycocotools misreads: ids from 0, no area, no or null iscrowd, an object to ignore."""
    for number, annotation in enumerate(document["annotations"]):
        annotation["id"] = number
        annotation["area"] = (0, -1, annotation["area"])[number % 3]
        annotation["iscrowd"] = None
        if number % 4 == 0:
            del annotation["iscrowd"]
    document["annotations"][5]["ignore"] = 1


def test_perfect_results_score_one_however_the_file_is_written(tmp_path):
    document = scene(8, seed=3)
    for annotation in document["annotations"]:
        annotation["iscrowd"] = 0
    perfect = copy.deepcopy(document)
    labelling_tools_write(document)
    perfect["annotations"].pop(5)
    path = write(tmp_path, document)
    samples = [sample(perfect, image["id"], masks=True) for image in perfect["images"]]
    assert evaluate(CocoMetric(path), samples)["coco/bbox_mAP"] == 1.0


def test_faulty_images_count_only_where_they_are_evaluated(tmp_path):
    document = scene(6, seed=1)
    bad = document["annotations"][0]
    bad["bbox"] = [1, 2, -30, 4]
    path = write(tmp_path, document)
    others = [sample(document, i["id"]) for i in document["images"] if i["id"] != bad["image_id"]]
    metric = CocoMetric(path)
    metric.check_loader(others, CLASSES)
    assert evaluate(metric, others)["coco/bbox_mAP"] == 1.0
    for refuse in (
        lambda: metric.check_loader([{"img_id": bad["image_id"]}], CLASSES),
        lambda: CocoMetric(path).process({}, [{"img_id": bad["image_id"]}]),
    ):
        with pytest.raises(DataError, match=r"truth\.json.*annotation 1 of image"):
            refuse()


def test_files_without_annotations_serve_results_that_are_only_written(tmp_path):
    document = scene(3)
    samples = [sample(document, 12)]
    del document["annotations"]
    path = write(tmp_path, document)
    metric = CocoMetric(path, format_only=True, outfile_prefix=str(tmp_path / "out"))
    assert evaluate(metric, samples) == {} and (tmp_path / "out.bbox.json").is_file()
