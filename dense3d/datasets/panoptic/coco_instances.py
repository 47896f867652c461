"""The things of a panoptic data set as COCO instance annotations, and the masks of such annotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from dense3d.datasets.panoptic.agreement import check_segments, counted_segments
from dense3d.datasets.panoptic.files import PanopticFile
from dense3d.datasets.panoptic.id_map import read_id_map
from dense3d.errors import DataError


def to_coco_instances(panoptic: PanopticFile, folder: str | Path, strict: bool = True) -> dict[str, Any]:
    """Instance annotations of all things; masks are run lengths, ids count from 1.

    Args:
        panoptic: the data set's annotations.
        folder: its png files.
        strict: refuse images whose png and ``segments_info`` disagree. Otherwise ids that are not listed are
            void, and segments without pixels are left out.

    Returns:
        A document in COCO's instances layout, with the thing categories only; areas and boxes are those of
        the masks.

    Raises:
        DataError: a png is missing or broken, or disagrees with ``segments_info``.
    """
    entries = (e for image in panoptic.annotations for e in things_of(panoptic, image, folder, strict))
    annotations = [{"id": number, **entry} for number, entry in enumerate(entries, start=1)]
    return {**instances_head(panoptic), "annotations": annotations}


def instances_head(panoptic: PanopticFile) -> dict[str, Any]:
    """What a file of instances has beside its annotations."""
    kept = {key: panoptic.document[key] for key in ("info", "licenses") if key in panoptic.document}
    things = [category for category in panoptic.document["categories"] if category["isthing"]]
    return {**kept, "images": panoptic.document["images"], "categories": things}


def things_of(
    panoptic: PanopticFile, image: Any, folder: str | Path, strict: bool = True
) -> Iterator[dict[str, Any]]:
    """Instance annotations of one image, without ids."""
    annotation = panoptic.annotations[image]
    segments, png = annotation["segments_info"], Path(folder) / annotation["file_name"]
    ids = read_id_map(png)
    if strict:
        check_segments(ids, segments, panoptic.where(image), png)
    for segment in counted_segments(ids, segments):
        if panoptic.categories[segment["category_id"]]["isthing"]:
            yield {
                "image_id": image,
                "category_id": segment["category_id"],
                "segmentation": _run_lengths(ids == segment["id"]),
                **{key: segment[key] for key in ("area", "bbox", "iscrowd")},
            }


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    runs = mask_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}


def decode_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Mask of a COCO annotation.

    Args:
        segmentation: polygons, or run lengths as text or numbers.
        size: height and width of the image in pixels.

    Returns:
        ``(H, W)`` bool.

    Raises:
        DataError: it is none of these, or of another size.

    Example:
        >>> decode_mask({"size": [1, 4], "counts": [1, 2, 1]}, (1, 4))
        array([[False,  True,  True, False]])
    """
    if isinstance(segmentation, dict):
        runs = _checked_runs(segmentation, size)
    elif isinstance(segmentation, list) and segmentation and all(map(_is_polygon, segmentation)):
        runs = mask_tools.merge(mask_tools.frPyObjects(segmentation, *size))
    else:
        raise DataError(
            f"its segmentation {str(segmentation)[:60]} is neither polygons [[x, y, x, y, x, y, ...], ...] "
            "nor run lengths {'size', 'counts'}"
        )
    try:
        return mask_tools.decode(runs).astype(bool)
    except ValueError as error:
        raise DataError(f"its run lengths cannot be decoded: {error}") from None


def _checked_runs(runs: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    if list(runs.get("size", ())) != list(size):
        raise DataError(
            f"its mask has the size {runs.get('size')}, but the image {list(size)} (height, width)"
        )
    counts = runs.get("counts")
    if isinstance(counts, list):
        if not all(isinstance(c, int) and c >= 0 for c in counts) or sum(counts) != size[0] * size[1]:
            raise DataError(f"its run lengths do not add up to the {size[0] * size[1]} pixels of the image")
        return mask_tools.frPyObjects(runs, *size)
    if not isinstance(counts, (str, bytes)):
        raise DataError(f"its run lengths are a {type(counts).__name__}, neither text nor numbers")
    return runs


def _is_polygon(points: Any) -> bool:
    return (
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(isinstance(value, (int, float)) for value in points)
    )
