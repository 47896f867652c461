"""COCO panoptic: ``annotations/panoptic_{train,val}2017.json`` and the png folder of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np

from dense3d.datasets.synthetic.classes import CATEGORIES
from dense3d.datasets.synthetic.sample import Sample, VisibleSegment, visible_segments
from dense3d.datasets.synthetic.writers.base import Writer, write_image, write_json
from dense3d.datasets.synthetic.writers.coco import INFO, LICENSES, image_entry

# Colours of things scatter around their class's colour by at most this much a channel.
COLOR_JITTER = 35


class CocoPanopticWriter(Writer):
    """Panoptic segmentation: a segment's id is R + 256 G + 65536 B of its colour; black is void."""

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write the image and its png of segment colours."""
        frame = sample.frames[0]
        image = image_entry(sample)
        write_image(self.root / f"{sample.split}2017" / image["file_name"], frame.rgb)
        segments = visible_segments(sample.scene, frame)
        colors = segment_colors(segments, sample.index)
        png = np.zeros_like(frame.rgb)
        for segment, color in zip(segments, colors):
            png[segment.mask] = color
        file_name = image["file_name"].replace(".jpg", ".png")
        write_image(self.root / "annotations" / f"panoptic_{sample.split}2017" / file_name, png)
        annotation = {
            "image_id": image["id"],
            "file_name": file_name,
            "segments_info": [self._info(*pair) for pair in zip(segments, colors)],
        }
        return {"image": image, "annotation": annotation}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the panoptic file."""
        content = {
            "info": INFO,
            "licenses": LICENSES,
            "images": [record["image"] for record in records],
            "annotations": [record["annotation"] for record in records],
            "categories": [
                {
                    "id": category.id,
                    "name": category.name,
                    "supercategory": "solid" if category.isthing else "surroundings",
                    "isthing": int(category.isthing),
                    "color": list(category.color),
                }
                for category in CATEGORIES
            ],
        }
        write_json(self.root / "annotations" / f"panoptic_{split}2017.json", content)

    def _info(self, segment: VisibleSegment, color: tuple[int, int, int]) -> dict[str, Any]:
        return {
            "id": color[0] + 256 * color[1] + 65536 * color[2],
            "category_id": segment.category.id,
            "iscrowd": int(segment.iscrowd),
            "bbox": segment.bbox,
            "area": segment.area,
        }


def segment_colors(segments: list[VisibleSegment], seed: int) -> list[tuple[int, int, int]]:
    """Distinct colours, none black: stuff has its class's colour, things one near it."""
    rng = np.random.default_rng(seed)
    used = {(0, 0, 0)} | {category.color for category in CATEGORIES if not category.isthing}
    colors = []
    for segment in segments:
        color = segment.category.color
        while segment.category.isthing and color in used:
            jitter = rng.integers(-COLOR_JITTER, COLOR_JITTER + 1, size=3)
            color = tuple(int(value) for value in np.clip(np.add(segment.category.color, jitter), 0, 255))
        used.add(color)
        colors.append(color)
    return colors
