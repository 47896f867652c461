"""What a layout's writer is, and the file helpers that writers share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from dense3d.datasets.synthetic.sample import Sample

JPEG_QUALITY = 95


class Writer(ABC):
    """Writes samples in one layout below ``root``.

    ``write`` runs in the worker processes, once a sample and in any order; ``finish`` runs once a split in
    the main process with all records in sample order, and writes what is common to the split. A new layout
    subclasses this and enters ``WRITERS``; its composition says which scenes and cameras it gets.

    Args:
        root: folder of the data set; several layouts may share it.
    """

    composition: ClassVar[str] = "room"

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def write(self, sample: Sample) -> dict[str, Any]:
        """Write the sample's own files and return what ``finish`` needs of it, as JSON values."""

    @abstractmethod
    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the files that belong to the whole split."""


def noisy(rgb: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """An image as a sensor gives it: with normal noise of this deviation, relative to full scale."""
    noise = np.float32(255 * deviation) * rng.standard_normal(rgb.shape, dtype=np.float32)
    return np.rint(np.clip(rgb + noise, 0, 255)).astype(np.uint8)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) RGB uint8 as the suffix says (JPEG at quality 95, or PNG).

    An existing file stays: layouts that share an image write the same one.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = image if image.ndim == 2 else image[..., ::-1]
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(bgr), options)
    path.write_bytes(encoded.tobytes())


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON; equal content gives equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
