"""COCO's metric, measured on what the data set loads: its images, its annotations, its classes."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval, COCOevalMP
from mmdet.evaluation import CocoMetric as MMDetCocoMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from dense3d.datasets.coco import index_of
from dense3d.datasets.scan.coco_file import leave_out, open_coco, raise_first
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.evaluation.coco.recall import proposal_recall
from dense3d.evaluation.coco.summary import (
    PRECISIONS,
    Figure,
    Summary,
    check_items,
    class_table,
    precision_limit,
    recall_items,
    shown,
    table,
)
from dense3d.evaluation.images import refuse_strangers, refuse_twins
from dense3d.registry import METRICS

KINDS = ("bbox", "segm", "proposal", "proposal_fast")


@METRICS.register_module()
class CocoMetric(MMDetCocoMetric):
    """Average precision of boxes and masks, and average recall of proposals, equal to pycocotools'.

    It takes the place of mmdet's wherever an evaluator is built, with its arguments and names of figures, and
    differs in this:

    * It reads the annotations as the data set does, with defaults filled in and ids renumbered.
    * The evaluated images are those that were predicted; others of the file do not count as missed.
    * A figure that no object counts for is NaN, not -1, and its reason is logged.
    * The log's table says how many detections of an image and class each figure counts: ``mAP`` 100, as in
      COCO's protocol, the others, as in mmdet, the most of ``proposal_nums``. An image with more objects of a
      class is told of. ``mAP`` counts the most as well where ``proposal_nums`` has no 100.
    * No detections at all give an AP of 0.

    Args:
        ann_file: annotations in COCO's format; without it they come from the data samples' ``instances``.

    The other arguments are those of mmdet's ``CocoMetric``.

    Raises:
        ConfigError: an unknown metric or figure; ``format_only`` without ``outfile_prefix``.
        DataError: the file is faulty (see :func:`~dense3d.datasets.scan.coco_file.read_coco`) as a whole or
            in an image that is evaluated, or lacks a class of the data set; an image is not in it or was
            predicted twice; a predicted class is none of the data's.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = "bbox",
        classwise: bool = False,
        proposal_nums: Sequence[int] = (100, 300, 1000),
        iou_thrs: float | Sequence[float] | None = None,
        metric_items: Sequence[str] | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        sort_categories: bool = False,
        use_mp_eval: bool = False,
        **kwargs: Any,
    ) -> None:
        metric = [metric] if isinstance(metric, str) else list(metric)
        for name in metric:
            if name not in KINDS:
                raise ConfigError(
                    f"the COCO metric measures {', '.join(KINDS)}, not {name!r}{did_you_mean(name, KINDS)}"
                )
        check_items(metric_items or (), proposal_nums)
        if format_only and outfile_prefix is None:
            raise ConfigError("the COCO metric with format_only=True needs outfile_prefix, where results go")
        super().__init__(
            None, metric, classwise, proposal_nums, iou_thrs, metric_items, format_only, outfile_prefix,
            backend_args=backend_args, use_mp_eval=use_mp_eval, **kwargs,
        )  # fmt: skip
        self.iou_thrs = np.atleast_1d(self.iou_thrs)
        self.ann_file = ann_file
        self._said: set[str] = set()
        self._faulty: dict[Any, str] = {}  # images that the file has, but wrongly
        if ann_file is not None:
            with get_local_path(ann_file, backend_args=backend_args) as path:
                document = self._read(path)
            if sort_categories:
                document["categories"] = sorted(document["categories"], key=lambda category: category["id"])
            self._coco_api = index_of(document)

    def _read(self, path: str) -> dict[str, Any]:
        """The document without faulty images: a data set with ``skip_bad_samples`` leaves them out too."""
        opened = open_coco(path, masks="segm" in self.metrics, annotations=not self.format_only)
        raise_first([fault for fault in opened.findings.faults if fault.image is None])
        for fault in opened.findings.faults:
            self._faulty.setdefault(fault.image, str(fault))
        leave_out(opened.document, set(self._faulty))
        return opened.document

    def _refuse_faulty(self, samples: Sequence[Mapping[str, Any]]) -> None:
        faulty = next((sample["img_id"] for sample in samples if sample["img_id"] in self._faulty), None)
        if faulty is not None:
            raise DataError(self._faulty[faulty])

    def check_loader(self, samples: Sequence[Mapping[str, Any]], classes: Sequence[str] | None) -> None:
        """Compare with the images and classes of the data set, before anything is predicted.

        Args:
            samples: ``img_id``, ``img_path`` and number of ``objects`` of every image.
            classes: names by label.

        Raises:
            DataError: an image comes twice, or is not, or is another one, in ``ann_file``; a class is not.
        """
        refuse_twins(samples)
        if self.ann_file is None:
            return
        self._refuse_faulty(samples)
        files = {number: image.get("file_name") for number, image in self._coco_api.imgs.items()}
        refuse_strangers(samples, files, self.ann_file)
        if classes is not None:
            self._compare_objects(samples, self._categories(classes))
        if len(samples) < len(files):
            self._say(f"{len(samples)} of the {len(files)} images of {self.ann_file} are evaluated")

    def _compare_objects(self, samples: Sequence[Mapping[str, Any]], categories: Sequence[Any]) -> None:
        """Say so where the data set has other objects: maybe another file with the same image names."""
        if not any(sample.get("objects") for sample in samples):
            return  # images without annotations, which the metric has
        counts = {
            sample["img_id"]: sum(
                a["category_id"] in categories for a in self._coco_api.imgToAnns[sample["img_id"]]
            )
            for sample in samples
        }
        differ = [s for s in samples if s.get("objects", 0) != counts[s["img_id"]]]
        if differ:
            number = differ[0]["img_id"]
            self._say(
                f"{self.ann_file}: {len(differ)} of the data set's {len(samples)} images have other objects "
                f"there, first image {number!r}, {counts[number]} for "
                f"{differ[0].get('objects', 0)}: is it the annotation file of the data set?"
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch; the data samples need ``img_id`` and ``pred_instances``."""
        self._refuse_faulty(data_samples)
        if self.ann_file is None and any("instances" not in sample for sample in data_samples):
            raise ConfigError(
                "the COCO metric has neither ann_file nor 'instances' in the data samples: give it the "
                "annotations of the data set, or write 'instances' among meta_keys of PackDetInputs"
            )
        for sample in data_samples if self.ann_file is not None else ():
            if sample["img_id"] not in self._coco_api.imgs:
                raise DataError(
                    f"{self.ann_file}: image {sample['img_id']!r} of the data set is not in it; give the "
                    "metric the annotations of the data set"
                )
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """The figures of all images."""
        truths, predictions = zip(*results)
        classes = (self.dataset_meta or {}).get("classes")
        if classes is None:
            raise DataError(
                "the COCO metric needs the class names: give the data set metainfo=dict(classes=...)"
            )
        self._check_predictions(predictions)
        with tempfile.TemporaryDirectory() as folder:
            prefix = self.outfile_prefix or str(Path(folder) / "results")
            if self.ann_file is None:
                self._coco_api = self._converted(truths, prefix)
            self.cat_ids = self._categories(classes)
            self.img_ids = [prediction["img_id"] for prediction in predictions]
            self._check_labels(predictions)
            files = self.results2json(predictions, prefix)
            if self.format_only:
                print_log(f"the results are in {Path(prefix).parent}", "current")
                return {}
            figures: dict[str, float] = {}
            for metric in self.metrics:
                if metric == "proposal_fast":
                    figures |= self._fast_recall(predictions)
                    continue
                if metric not in files:
                    raise DataError(
                        f"metric={metric!r} of the COCO metric needs masks, but the model predicts none"
                    )
                found = json.loads(Path(files[metric]).read_text(encoding="utf-8"))
                figures |= self._evaluate(metric, found)
        if self.ann_file is None:
            self._coco_api = None  # the next validation brings its own
        return figures

    def _evaluate(self, metric: str, found: list[dict]) -> dict[str, float]:
        kind = "bbox" if metric == "proposal" else metric
        if kind == "segm":
            for entry in found:
                entry.pop("bbox")  # pycocotools would take the area of a box for that of the mask
        engine = COCOevalMP if self.use_mp_eval else COCOeval
        evaluation = engine(self._coco_api, self._loaded(found), kind)
        evaluation.params.catIds, evaluation.params.imgIds = self.cat_ids, self.img_ids
        evaluation.params.maxDets, evaluation.params.iouThrs = list(self.proposal_nums), self.iou_thrs
        evaluation.params.useCats = int(metric != "proposal")
        evaluation.evaluate()
        evaluation.accumulate()
        summary = Summary(evaluation)
        usual = recall_items(self.proposal_nums) if metric == "proposal" else PRECISIONS
        rows = [summary.figure(name) for name in self.metric_items or usual]
        print_log(f"{metric} of {len(self.img_ids)} images:\n{table(rows)}", "current")
        self._say(f"{metric}: {summary.absent(rows)}" if summary.absent(rows) else "")
        self._tell_of_crowded_images(metric, rows)
        prefix = "" if metric == "proposal" else f"{metric}_"
        figures = {f"{prefix}{row.name}": round(row.value, 3) for row in rows}
        if self.classwise and metric != "proposal":
            names = [self._coco_api.cats[number]["name"] for number in self.cat_ids]
            by_class = summary.by_class(names)
            print_log(f"{metric} of each class:\n{class_table(by_class)}", "current")
            figures = {f"{name}_precision": round(average, 3) for name, average, *_ in by_class} | figures
        return figures

    def _loaded(self, found: list[dict]) -> COCO:
        """Index of the predictions; pycocotools cannot load an empty list."""
        if found:
            return self._coco_api.loadRes(found)
        truth = self._coco_api.dataset
        return index_of({"images": truth["images"], "categories": truth["categories"], "annotations": []})

    def _fast_recall(self, predictions: Sequence[dict]) -> dict[str, float]:
        truth = [self._boxes(number) for number in self.img_ids]
        found = [p["bboxes"][np.argsort(-p["scores"], kind="stable")] for p in predictions]
        recalls = proposal_recall(truth, found, self.proposal_nums, self.iou_thrs)
        figures = {f"AR@{limit}": float(value) for limit, value in zip(self.proposal_nums, recalls)}
        lines = "\n".join(f"{name}\t{shown(value)}" for name, value in figures.items())
        print_log(f"proposal_fast of {len(predictions)} images:\n{lines}", "current")
        return figures

    def _boxes(self, image: Any) -> np.ndarray:
        """(G, 4) x1, y1, x2, y2 of the objects that are no crowds."""
        objects = [a["bbox"] for a in self._coco_api.imgToAnns[image] if not _ignored(a)]
        boxes = np.array(objects, dtype=np.float32).reshape(-1, 4)
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)

    def _categories(self, classes: Sequence[str]) -> list[Any]:
        """Category id of each label."""
        where = self.ann_file or "the annotations of the data samples"
        numbers: dict[str, Any] = {}
        for number, category in self._coco_api.cats.items():
            numbers.setdefault(category["name"], number)
        absent = [name for name in classes if name not in numbers]
        if absent:
            raise DataError(
                f"{where}: no category is named {absent[0]!r}, a class of the data set "
                f"({len(absent)} of {len(classes)} are missing){did_you_mean(absent[0], numbers)}; give the "
                "metric the annotations of the data set"
            )
        return [numbers[name] for name in classes]

    def _check_predictions(self, predictions: Sequence[dict]) -> None:
        seen: set = set()
        for number in (prediction["img_id"] for prediction in predictions):
            if number in seen:
                raise DataError(f"image {number!r} was predicted twice; the data set lists it twice")
            seen.add(number)

    def _check_labels(self, predictions: Sequence[dict]) -> None:
        last = max((int(p["labels"].max()) for p in predictions if len(p["labels"])), default=-1)
        if last >= len(self.cat_ids):
            raise DataError(
                f"the model predicts the class number {last}, but the data set has {len(self.cat_ids)} "
                "classes, counted from 0; set num_classes of the head, or leave it out"
            )

    def _converted(self, truths: Sequence[dict], prefix: str) -> COCO:
        """Index of the objects that the data samples brought."""
        path = Path(self.gt_to_coco_json(truths, prefix))
        document = json.loads(path.read_text(encoding="utf-8"))
        return index_of({"annotations": [], **document})

    def _tell_of_crowded_images(self, metric: str, rows: Sequence[Figure]) -> None:
        """Say so where even perfect predictions would miss objects, since a figure counts fewer."""
        numbers = set(self.cat_ids)
        counts = {
            image: _most_of_a_class(self._coco_api.imgToAnns[image], numbers, metric == "proposal")
            for image in self.img_ids
        }
        image = max(counts, key=counts.get)
        short = {row.name: row.limit for row in rows if row.limit < counts[image]}
        if not short:
            return
        limit, most = min(short.values()), max(self.proposal_nums)
        remedy = (
            f"mAP counts {limit}, as COCO's protocol does, the others {most}; proposal_nums=({most},) counts "
            f"{most} in all"
            if limit == precision_limit(self.proposal_nums) < most and "mAP" in short
            else f"each counts as many as its row says; proposal_nums=({counts[image]},) counts more"
        )
        self._say(
            f"{metric}: image {image!r} has {counts[image]} objects"
            f"{'' if metric == 'proposal' else ' of one class'}, more than the {limit} detections that "
            f"{', '.join(short)} can count, so that even perfect results stay below 1: {remedy}"
        )

    def _say(self, sentence: str) -> None:
        """Once a run, on the screen too."""
        if sentence and sentence not in self._said:
            self._said.add(sentence)
            print_log(sentence, "current", logging.WARNING)


def _ignored(annotation: Mapping[str, Any]) -> bool:
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def _most_of_a_class(annotations: Sequence[dict], categories: set, together: bool) -> int:
    """Largest number of objects of one class, or of all classes together."""
    counts = Counter(a["category_id"] for a in annotations if not _ignored(a))
    if together:
        return counts.total()
    return max((count for number, count in counts.items() if number in categories), default=0)
