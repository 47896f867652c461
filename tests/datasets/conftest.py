"""A tiny COCO data set on disk, and helpers that break it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("disk", "box")


@dataclass
class TinyCoco:
    """Four images of 48 x 32 pixels with one object each; the last image has none."""

    root: Path
    document: dict

    @property
    def annotation_file(self) -> Path:
        return self.root / "annotations.json"

    def image(self, index: int) -> Path:
        return self.root / "images" / f"{index:03d}.jpg"

    def write(self, document: dict | None = None) -> None:
        self.annotation_file.write_text(json.dumps(document or self.document))

    def change(self, edit: Callable[[dict], None]) -> None:
        document = copy.deepcopy(self.document)
        edit(document)
        self.write(document)

    def truncate(self, index: int, keep: float = 0.6) -> None:
        content = self.image(index).read_bytes()
        self.image(index).write_bytes(content[: int(len(content) * keep)])

    def dataset_cfg(self, **settings) -> dict:
        return dict(
            dict(
                type="dense3d.CocoDataset",
                data_root=str(self.root),
                ann_file="annotations.json",
                data_prefix=dict(img="images/"),
                metainfo=dict(classes=CLASSES),
                pipeline=[
                    dict(type="mmdet.LoadImageFromFile"),
                    dict(type="mmdet.LoadAnnotations", with_bbox=True),
                    dict(type="mmdet.PackDetInputs"),
                ],
            ),
            **settings,
        )


@pytest.fixture
def tiny_coco(tmp_path: Path) -> TinyCoco:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(4):
        name = f"{index:03d}.jpg"
        pixels = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
        images.append(dict(id=index + 10, file_name=name, width=48, height=32))
        if index < 3:
            annotations.append(
                dict(
                    id=index + 1, image_id=index + 10, category_id=1 + index % 2, bbox=[4 + index, 5, 20, 10],
                    area=200, iscrowd=0, segmentation=[[4, 5, 24, 5, 24, 15, 4, 15]],
                )
            )  # fmt: skip
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    tiny = TinyCoco(tmp_path, dict(images=images, annotations=annotations, categories=categories))
    tiny.write()
    return tiny
