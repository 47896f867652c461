"""Quality of the result on one image, by the metric of the config: what an exit has to earn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from dense3d.errors import ConfigError

Quality = Callable[[dict[str, Any]], float]  # of a data sample as a dict; NaN where it is not defined


def quality_of(metric: BaseMetric) -> Quality:
    """Quality of one image in 0 .. 1, as ``metric`` measures a data set.

    Panoptic quality is the mean over the classes that the image has in annotation or prediction; box AP that
    over the annotated classes (COCO's, averaged over overlaps of 0.5 to 0.95).

    Raises:
        ConfigError: neither can be told from the metric.
    """
    name = type(metric).__name__
    if name == "PanopticQualityMetric":
        return lambda sample: panoptic_quality(metric, sample)
    if name == "CocoMetric" and metric._coco_api is not None:
        return BoxQuality(metric._coco_api, metric.dataset_meta["classes"])
    raise ConfigError(
        f"the quality of single images is known for PanopticQualityMetric and mmdet.CocoMetric with an "
        f"ann_file, not for {name}: put one of them first in test_evaluator"
    )


def panoptic_quality(metric: BaseMetric, sample: dict[str, Any]) -> float:
    """PQ of one image over all its classes; NaN without any segment."""
    from dense3d.evaluation.panoptic import summarise

    metric.process(None, [sample])
    _, match, _ = metric.results.pop()
    return summarise(list(metric.truth.categories.values()), [match], 1).group("all")[0]


class BoxQuality:
    """COCO's box AP of one image, mean over its annotated classes; NaN without annotations.

    Args:
        truth: pycocotools' ``COCO`` of the data set.
        classes: names by label.
    """

    def __init__(self, truth: Any, classes: tuple[str, ...]) -> None:
        self._truth = truth
        numbers = {category["name"]: number for number, category in truth.cats.items()}
        self._categories = [numbers[name] for name in classes]

    def __call__(self, sample: dict[str, Any]) -> float:
        """AP of a data sample with ``img_id`` and ``pred_instances`` in pixels of the original image."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        image, found = sample["img_id"], sample["pred_instances"]
        annotations = [dict(a) for a in self._truth.imgToAnns[image] if a["category_id"] in self._categories]
        if all(annotation.get("iscrowd") for annotation in annotations):
            return float("nan")
        if not len(found["labels"]):
            return 0.0
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = dict(
                images=[self._truth.imgs[image]],
                annotations=annotations,
                categories=list(self._truth.cats.values()),
            )
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(self._results(image, found)), "bbox")
            evaluation.params.catIds = sorted({a["category_id"] for a in annotations})
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][..., 0, -1]  # all sizes, 100 boxes
        return float(np.mean(precision[precision > -1]))

    def _results(self, image: int, found: Any) -> list[dict[str, Any]]:
        boxes, scores, labels = (found[key].cpu().tolist() for key in ("bboxes", "scores", "labels"))
        return [
            dict(
                image_id=image,
                category_id=self._categories[label],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=score,
            )
            for (x1, y1, x2, y2), score, label in zip(boxes, scores, labels)
        ]
