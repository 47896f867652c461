"""Training with pieces of a second image: copy-paste, and another image for one with too little annotated.

Both draw from the data set that a sample comes from: ``CocoPanopticDataset`` and its kin put themselves
beside the sample under ``dataset``. What is drawn depends on the generators alone, which the runner seeds for
each sample: a resumed run draws the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import Compose

from dense3d.datasets.panoptic.conversion import IGNORED
from dense3d.datasets.scan.images import check_image
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

ATTEMPTS = 100
STRIDE = 4  # of the places at which annotated pixels are counted: that of kMaX-DeepLab's masks


def compose(transforms: Sequence[dict]) -> Compose:
    """The steps of a pipeline in turn."""
    return Compose([TRANSFORMS.build(step) for step in transforms])


def draw_sample(results: dict[str, Any], pipeline: Callable[[dict], dict | None]) -> dict[str, Any]:
    """Any sample of the data set of ``results``, also that sample itself, prepared by ``pipeline``.

    Raises:
        ConfigError: the data set does not hand itself on.
        DataError: the drawn sample is bad, unless the data set skips bad ones: then another is drawn.
    """
    if "dataset" not in results:
        raise ConfigError(
            "copy-paste needs a training data set that hands itself on as results['dataset']: use "
            "CocoPanopticDataset, CityscapesPanopticDataset or ADE20KPanopticDataset of dense3d"
        )
    dataset = results["dataset"]
    for _ in range(ATTEMPTS):
        info = dataset.get_data_info(random.randrange(len(dataset)))
        try:
            found = pipeline({**info, "dataset": dataset})
        except Exception as error:
            fault = error if isinstance(error, DataError) else _fault(info)
            if fault is None:
                raise
            if not dataset.skip_bad_samples:
                raise DataError(str(fault)) from error
            continue
        if found is not None:
            return found
    raise DataError(f"{dataset.ann_file}: {ATTEMPTS} samples drawn one after another are bad or left out")


def _fault(info: dict[str, Any]) -> str | None:
    """What is wrong with the files of a sample."""
    paths = [info[key] for key in ("img_path", "seg_map_path") if isinstance(info.get(key), str)]
    return next((fault for path in paths if (fault := check_image(path, decode=True))), None)


@TRANSFORMS.register_module()
class PanopticCopyPaste(BaseTransform):
    """Paste segments of a second image of the data set onto the image, as kMaX-DeepLab is trained.

    All things of the second image are pasted, and of its stuff classes, shuffled, the first n, with n drawn
    uniformly from none to all. Crowds are not pasted. Both images lie at the top left of a canvas that holds
    the larger one; the rest of it has the mean colour and no label. Pasted stuff joins that of its class.
    (Official: n counts all segments of the second image, things among them; the stuff that is pasted then has
    the same distribution.)

    Takes and gives ``img`` (H, W, 3) float32, ``gt_masks``, ``gt_seg_map``, ``gt_bboxes``,
    ``gt_bboxes_labels`` and ``gt_ignore_flags`` of ``LoadPanopticAnnotations``. Things that are covered
    altogether are left out. Images without a map of segments are left as they are.

    Args:
        transforms: steps that load and augment the second image.
        fill: value of the canvas in all channels, what the model's preprocessor takes as the mean.
    """

    def __init__(self, transforms: Sequence[dict], fill: float = 127.5) -> None:
        self.pipeline = compose(transforms)
        self.fill = fill

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Paste onto ``results``."""
        second = draw_sample(results, self.pipeline)
        if "gt_seg_map" not in results or "gt_seg_map" not in second:
            return results
        pasted = _chosen(second, _number_of_things(results))
        size = tuple(max(sides) for sides in zip(results["gt_seg_map"].shape, pasted.shape))
        pasted = _on_canvas(pasted, size, False)
        for key, fill in (("img", self.fill), ("gt_seg_map", IGNORED)):
            below, above = (_on_canvas(sample[key], size, fill) for sample in (results, second))
            results[key] = np.where(pasted[..., None] if below.ndim > 2 else pasted, above, below)
        results["img_shape"] = size
        self._join_things(results, second, pasted)
        return results

    @staticmethod
    def _join_things(results: dict[str, Any], second: dict[str, Any], pasted: np.ndarray) -> None:
        """Masks, boxes and labels of the visible things of both images."""
        below, above = (
            np.stack([_on_canvas(mask, pasted.shape, 0) for mask in sample["gt_masks"].masks])
            if len(sample["gt_masks"])
            else np.zeros((0, *pasted.shape), np.uint8)
            for sample in (results, second)
        )
        masks = np.concatenate([below * ~pasted, above])
        visible = masks.any(axis=(1, 2))
        for key in ("gt_bboxes_labels", "gt_ignore_flags"):
            results[key] = np.concatenate([results[key], second[key]])[visible]
        results["gt_masks"] = BitmapMasks(masks[visible], *pasted.shape)
        results["gt_bboxes"] = results["gt_masks"].get_bboxes(type(results["gt_bboxes"]))


@TRANSFORMS.register_module()
class RedrawUnlabelled(BaseTransform):
    """Another sample of the data set in place of one with hardly an annotated pixel, as in kMaX-DeepLab.

    Counted is at every fourth row and column what lies in a segment that is no crowd.

    Args:
        transforms: steps that load and augment the other sample.
        least: samples with fewer pixels are replaced.

    Raises:
        DataError: a hundred samples in turn have too few.
    """

    def __init__(self, transforms: Sequence[dict], least: int = 4097) -> None:
        self.pipeline = compose(transforms)
        self.least = least

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """``results`` or another sample."""
        for _ in range(ATTEMPTS):
            if labelled_pixels(results) >= self.least:
                return results
            results = draw_sample(results, self.pipeline)
        raise DataError(
            f"{results['dataset'].ann_file}: {ATTEMPTS} samples in turn have fewer than {self.least} "
            f"labelled pixels at every {STRIDE}th row and column: check the annotations or lower least"
        )


def labelled_pixels(results: dict[str, Any]) -> int:
    """Number of pixels at every fourth row and column that lie in a segment."""
    if "gt_seg_map" not in results:
        return 0
    classes = results["gt_seg_map"][::STRIDE, ::STRIDE]
    stuff = (classes >= _number_of_things(results)) & (classes != IGNORED)
    # Of pixels of thing classes only those in a mask count: the others are crowds.
    return int((stuff | results["gt_masks"].masks[:, ::STRIDE, ::STRIDE].any(axis=0)).sum())


def _number_of_things(results: dict[str, Any]) -> int:
    """Thing classes; they come before the stuff classes."""
    return len(results["dataset"].metainfo["thing_classes"])


def _chosen(second: dict[str, Any], things: int) -> np.ndarray:
    """``(H, W)`` bool: all things and a random part of the stuff."""
    classes = second["gt_seg_map"]
    stuff = [label for label in np.unique(classes).tolist() if things <= label != IGNORED]
    random.shuffle(stuff)
    kept = stuff[: random.randint(0, len(stuff))]
    return np.isin(classes, kept) | second["gt_masks"].masks.any(axis=0)


def _on_canvas(x: np.ndarray, size: tuple[int, int], fill: float) -> np.ndarray:
    """``(H, W, ...)`` at the top left of an array of ``size`` filled with ``fill``."""
    canvas = np.full((*size, *x.shape[2:]), fill, x.dtype)
    canvas[: x.shape[0], : x.shape[1]] = x
    return canvas
