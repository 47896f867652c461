"""Label maps in the pipelines of mmseg, mmdet and mmcv: their loading steps read by our rules.

As they are, mmseg's step keeps 8 of 16 bits, mmdet's takes a palette's colours for labels, and neither says
which file a label comes from that is no class.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from mmengine import fileio

from dense3d.datasets.label_maps import VOID, LabelMapError, LabelRules, read_label_map

_LIBRARIES = (
    "mmcv.transforms.loading",
    "mmdet.datasets.transforms.loading",
    "mmseg.datasets.transforms.loading",
)
_REPLACED = "LoadAnnotations._load_seg_map"


def read_label_maps_by_our_rules(dataset: Any) -> None:
    """Exchange what the loading steps of a built dataset do with label maps; idempotent.

    Steps that read label maps in a way of their own stay as they are.
    """
    for step in _steps(getattr(dataset, "pipeline", None)):
        own = getattr(type(step), "_load_seg_map", None)
        if own is not None and own.__qualname__ == _REPLACED and own.__module__ in _LIBRARIES:
            step._load_seg_map = functools.partial(load_label_map, step, rules_of(dataset, step))


def rules_of(dataset: Any, step: Any = None) -> LabelRules:
    """What the numbers in a dataset's files mean; only data sets of label maps have classes for them.

    Args:
        dataset: of mmseg or mmdet.
        step: that loads the maps; mmdet's has ``reduce_zero_label`` and ``ignore_index`` of its own.
    """
    void = getattr(step, "ignore_index", None)
    void = VOID if void is None else void
    reduce_zero = bool(
        getattr(dataset, "reduce_zero_label", False) or getattr(step, "reduce_zero_label", False)
    )
    if not hasattr(dataset, "seg_map_suffix"):
        return LabelRules(None, void, reduce_zero=reduce_zero)
    classes, ignored = dataset.metainfo.get("classes"), getattr(dataset, "ignore_index", None)
    if ignored is not None and len(classes or ()) > void:  # so many that 255 is one of them
        void = ignored
    label_map = getattr(dataset, "label_map", None)
    return LabelRules(classes, void, () if ignored in (None, void) else (ignored,), reduce_zero, label_map)


def load_label_map(step: Any, rules: LabelRules, results: dict) -> None:
    """Load the map of labels that ``results`` name, as ``_load_seg_map`` of the loading step.

    Sets ``gt_seg_map``, ``(H, W)`` uint8, or uint16 for labels over 255.

    Raises:
        LabelMapError: see :func:`~dense3d.datasets.label_maps.read_label_map`; a number is no class; or the
            map has another size than the image.
    """
    path = results.get("seg_map_path")
    if path is None:
        return
    if step.backend_args is None and getattr(step, "file_client_args", None):
        content = fileio.FileClient.infer_client(step.file_client_args, path).get(path)
    else:
        content = fileio.get(path, backend_args=step.backend_args)
    numbers = read_label_map(content, path)
    size = results.get("ori_shape")
    if size is not None and tuple(size[:2]) != numbers.shape:
        value = (
            f"{numbers.shape[1]} x {numbers.shape[0]} pixels, but its image {results.get('img_path')} is "
            f"loaded with {size[1]} x {size[0]}"
        )
        raise LabelMapError(path, "size-differs", value, "pair each image with its own map, turned as it is")
    results["gt_seg_map"] = rules.labels(numbers, path)
    if "seg_fields" in results:
        results["seg_fields"].append("gt_seg_map")
    if hasattr(step, "ignore_index"):
        results["ignore_index"] = step.ignore_index


def _steps(pipeline: Any) -> Iterator[Any]:
    """The steps of a pipeline, also those inside steps that hold others."""
    for name in ("transforms", "subroutines"):
        inner = getattr(pipeline, name, None)
        for step in inner if isinstance(inner, (list, tuple)) else [] if inner is None else [inner]:
            yield step
            yield from _steps(step)
