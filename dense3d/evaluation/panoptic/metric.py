"""Panoptic quality as a metric of mmengine, for validation during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from dense3d.datasets.panoptic.agreement import disagreements, refuse
from dense3d.datasets.panoptic.files import PanopticFile, read_panoptic, write_panoptic
from dense3d.datasets.panoptic.id_map import decode_segments, read_id_map, segment_areas, write_id_map
from dense3d.errors import DataError
from dense3d.evaluation.images import refuse_strangers, refuse_twins
from dense3d.evaluation.panoptic.classes import EvaluatedClasses
from dense3d.evaluation.panoptic.matching import ImageMatch, Overlaps, Segments, match_segments
from dense3d.evaluation.panoptic.result import summarise
from dense3d.files import inside
from dense3d.registry import METRICS


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """PQ, SQ and RQ of panoptic results, equal to panopticapi's and in 0 .. 1.

    Every data sample needs ``img_id`` and ``pred_panoptic_seg.sem_seg``, ``(1, H, W)`` at the size of the
    original image: label + 1000 x instance number, from ``num_classes`` on void, as mmdet's models give it.
    Categories of the ground truth that are no classes of the data set are void, as in training.
    Images are matched as they come, so that no maps are kept. Figures are named ``panoptic/PQ``,
    ``panoptic/PQ_th`` (things), ``panoptic/SQ_st`` (stuff) and so on.

    Args:
        ann_file: panoptic JSON file of the ground truth.
        seg_prefix: folder of its png files; by default the file's name without ``.json``.
        classwise: also log the figures of every class.
        strict: refuse ground truth whose png and ``segments_info`` disagree; otherwise their areas are those
            of the JSON file, as in the official evaluator.
        result_file: also write the predictions there, in COCO's format, and their png files into the folder
            of the same name without ``.json``.
        **kwargs: ``collect_device``, ``prefix`` ... of mmengine's ``BaseMetric``.

    Raises:
        DataError: the ground truth is missing, broken or disagrees with itself; an image is not in it, was
            predicted twice or at another size.
    """

    default_prefix = "panoptic"

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str | None = None,
        classwise: bool = False,
        strict: bool = True,
        result_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ann_file, self.classwise, self.strict = ann_file, classwise, strict
        self.seg_prefix = Path(seg_prefix) if seg_prefix else Path(ann_file).with_suffix("")
        self.result_file = Path(result_file) if result_file else None
        self._truth: PanopticFile | None = None
        self._evaluated: tuple[tuple[str, ...], EvaluatedClasses] | None = None
        self._written: dict[Path, Any] = {}

    @property
    def truth(self) -> PanopticFile:
        """The ground truth, read when it is first needed."""
        if self._truth is None:
            self._truth = read_panoptic(self.ann_file)
        return self._truth

    def check_loader(self, samples: Sequence[Mapping[str, Any]], classes: Sequence[str] | None) -> None:
        """Compare with the images of the data set, before anything is predicted.

        Args:
            samples: ``img_id``, ``img_path`` and ``seg_map_path`` of every image.
            classes: names by label; the data set has found them in its own file.

        Raises:
            DataError: an image comes twice, or is not, or is another one, in ``ann_file``; a
                segment has no area.
        """
        refuse_twins(samples)
        files = {number: annotation["file_name"] for number, annotation in self.truth.annotations.items()}
        refuse_strangers(samples, files, self.ann_file, file="seg_map_path")
        for sample in samples:
            self._refuse_no_area(sample["img_id"])

    def _refuse_no_area(self, image: Any) -> None:
        listed, where = self.truth.annotations[image]["segments_info"], self.truth.where(image)
        try:
            Segments.of(listed, {s["category_id"]: 0 for s in listed})  # says which area is none
        except DataError as error:
            raise DataError(f"{where}: {error}") from None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Match the results of one batch."""
        for sample in data_samples:
            image = sample["img_id"]
            if image not in self.truth.annotations:
                raise DataError(f"{self.ann_file}: image {image} of the data set has no annotation there")
            prediction = sample["pred_panoptic_seg"]
            coded = prediction["sem_seg"].squeeze(0).cpu().numpy()  # (H, W)
            classes = self._classes()
            ids, labels = decode_segments(coded, len(classes.categories), prediction.get("ignore_index"))
            numbers = classes.category_ids[labels]
            segments = [
                {"id": i, "category_id": number} for i, number in enumerate(numbers.tolist(), start=1)
            ]
            match = self._match(image, ids, segments)
            if self.result_file:
                write_id_map(self._png(image), ids)
            self.results.append((image, match, segments if self.result_file else None))

    def compute_metrics(self, results: list[tuple[Any, ImageMatch, list[dict] | None]]) -> dict[str, float]:
        """Figures of all images."""
        images = [image for image, _, _ in results]
        if len(set(images)) < len(images):
            twin = next(image for i, image in enumerate(images) if image in images[:i])
            raise DataError(f"image {twin} was predicted twice; the data set lists it twice")
        classes = self._classes()
        result = summarise(classes.categories, [match for _, match, _ in results], len(results))
        if self.result_file:
            annotations = [
                {"image_id": image, "file_name": self._png_name(image), "segments_info": segments}
                for image, _, segments in results
            ]
            write_panoptic(self.result_file, annotations)
        logger = MMLogger.get_current_instance()
        logger.info(f"panoptic quality of {len(results)} images:\n{result.table(self.classwise)}")
        if classes.left_out:
            logger.info(f"{classes.left_out} categories of {self.ann_file} are no classes and count as void")
        return result.flat()

    def _match(self, image: Any, ids: np.ndarray, segments: list[dict]) -> ImageMatch:
        annotation, where = self.truth.annotations[image], self.truth.where(image)
        png = self.seg_prefix / annotation["file_name"]
        true_map, listed, positions = read_id_map(png), annotation["segments_info"], self._classes().positions
        try:
            if self.strict:
                refuse(disagreements(*segment_areas(true_map), listed), png)
            Segments.of(listed, {s["category_id"]: 0 for s in listed})  # says which area is none
            true_map, kept = self._classes().ground_truth(true_map, listed)
            overlaps, truth = Overlaps.of(true_map, ids), Segments.of(kept, positions)
            return match_segments(overlaps, truth, Segments.of(segments, positions, is_prediction=True))
        except DataError as error:
            raise DataError(f"{where}: {error}") from None

    def _classes(self) -> EvaluatedClasses:
        names, aliases = tuple(self.dataset_meta["classes"]), self.dataset_meta.get("aliases")
        if self._evaluated is None or self._evaluated[0] != names:
            self._evaluated = names, EvaluatedClasses.of(self.truth, names, aliases)
        return self._evaluated[1]

    def _png(self, image: Any) -> Path:
        where = self.truth.where(image)
        png = inside(self.result_file.with_suffix(""), self._png_name(image), where)
        if self._written.setdefault(png, image) != image:
            raise DataError(
                f"{where}: its result {png} is also that of image {self._written[png]}; rename one"
            )
        return png

    def _png_name(self, image: Any) -> str:
        """The name in the ground truth; only its last part where the whole would lead elsewhere."""
        name = PurePath(self.truth.annotations[image]["file_name"])
        return name.name if name.is_absolute() or ".." in name.parts else name.as_posix()
