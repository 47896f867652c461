"""The things of a panoptic data set as COCO instance annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from dense3d.datasets.panoptic.agreement import check_segments, counted_segments
from dense3d.datasets.panoptic.files import PanopticFile
from dense3d.datasets.panoptic.id_map import read_id_map


def to_coco_instances(panoptic: PanopticFile, folder: str | Path) -> dict[str, Any]:
    """Instance annotations of all things; masks are run lengths, ids count from 1.

    Args:
        panoptic: the data set's annotations.
        folder: its png files.

    Returns:
        A document in COCO's instances layout, with the thing categories only.

    Raises:
        DataError: a png is missing or broken, or disagrees with ``segments_info``.
    """
    things = [c for c in panoptic.document["categories"] if c["isthing"]]
    kept = {category["id"] for category in things}
    annotations: list[dict[str, Any]] = []
    for image, annotation in panoptic.annotations.items():
        ids = read_id_map(Path(folder) / annotation["file_name"])
        check_segments(ids, annotation["segments_info"], panoptic.where(image))
        for segment in counted_segments(ids, annotation["segments_info"]):
            if segment["category_id"] in kept:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": segment["category_id"],
                        "segmentation": _run_lengths(ids == segment["id"]),
                        "area": segment["area"],
                        "bbox": segment["bbox"],
                        "iscrowd": segment["iscrowd"],
                    }
                )
    document = {k: panoptic.document[k] for k in ("info", "licenses") if k in panoptic.document}
    images = panoptic.document["images"]
    return {**document, "images": images, "annotations": annotations, "categories": things}


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    runs = mask_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}
