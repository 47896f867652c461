"""Classified images: the class, and the probability of every other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TextIO

import cv2
import numpy as np

from dense3d.results.part import Entries, ModelInfo, Part
from dense3d.visualization.canvas import canvas
from dense3d.visualization.colours import class_colours
from dense3d.visualization.tags import letter_size, text_mask

SHOWN = 5  # classes in a picture and in a row of the table


@dataclass(frozen=True, eq=False)
class Classification(Part):
    """The class of an image.

    Args:
        label: of the most probable class, its position in the list of classes.
        category: its name, or the label as text where nobody knows names.
        score: its probability, 0 .. 1.
        probabilities: ``(C,)`` float32, of all classes; they sum to 1.
        info: of the model.
        truth: the true label; None where it is not known.
    """

    fields: ClassVar = ("label", "category", "score", "probabilities")

    label: int
    category: str
    score: float
    probabilities: np.ndarray
    info: ModelInfo
    truth: int | None = None

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Classification | None:
        """The class of ``pred_scores`` (C,)."""
        scores = sample.get("pred_scores")
        if scores is None:
            return None
        scores, label = scores.float().cpu().numpy(), int(sample.pred_label)
        truth = int(sample.gt_label) if "gt_label" in sample else None
        return cls(label, readable(info.name(label)), float(scores[label]), scores, info, truth)

    def best(self, count: int = SHOWN) -> list[tuple[str, float]]:
        """Names and probabilities of the most probable classes, falling."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(readable(self.info.name(int(i))), float(self.probabilities[i])) for i in order]

    def __str__(self) -> str:
        """The most probable classes."""
        return "a class (" + ", ".join(f"{share:.0%} {name}" for name, share in self.best(3)) + ")"

    def draw(self, image: np.ndarray) -> np.ndarray:
        """The image, and below it a bar for each of the most probable classes; the true one has a mark."""
        picture, _ = canvas(image, short_side=320)
        size = max(letter_size(picture), 14)
        row, width = size + 10, max(picture.shape[1], 360)
        rows = self.best()
        panel = np.full(((len(rows) + 1) * row, width, 3), 255, dtype=np.uint8)
        true = None if self.truth is None else readable(self.info.name(self.truth))
        colours = class_colours(self.info.palette, len(self.probabilities))
        order = np.argsort(-self.probabilities, kind="stable")
        for number, (name, share) in enumerate(rows):
            top = number * row + 4
            colour = tuple(int(channel) for channel in colours[order[number]])
            light = tuple(255 - (255 - channel) // 2 for channel in colour)
            cv2.rectangle(panel, (0, top), (round(share * (width - 1)), top + row - 6), light, -1)
            mark = " (true)" if name == true else ""
            _write(panel, f"{share:6.1%}  {name}{mark}", top, size)
        if true is not None and true not in [name for name, _ in rows]:
            _write(panel, f"true: {true}", len(rows) * row + 4, size)
        margin = width - picture.shape[1]
        picture = cv2.copyMakeBorder(picture, 0, 0, 0, margin, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        return np.concatenate([picture, panel])

    def to_dict(self) -> dict[str, Any]:
        """Label, name, probability and those of all classes, as JSON has them."""
        return dict(
            label=self.label,
            category=self.category,
            score=round(self.score, 6),
            probabilities=[round(float(value), 6) for value in self.probabilities],
        )

    def to_csv(self) -> str:
        """A row a class, the most probable first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["rank", "label", "category", "probability"])
        for rank, label in enumerate(np.argsort(-self.probabilities, kind="stable"), start=1):
            share = float(self.probabilities[label])
            writer.writerow([rank, int(label), readable(self.info.name(int(label))), f"{share:.6f}"])
        return text.getvalue()

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """A row of ``predictions``."""
        best = [dict(category=name, score=round(share, 6)) for name, share in self.best()]
        return {"predictions": [dict(image_id=image_id, file_name=file_name, **self.to_dict(), best=best)]}


def write_table(rows: Iterable[dict[str, Any]], file: TextIO) -> None:
    """A line an image: its file, label and class, and the most probable classes with their probabilities.

    Args:
        rows: as :meth:`Classification.write` gives them.
        file: open text file.
    """
    writer = csv.writer(file, lineterminator="\n")
    numbers = range(2, SHOWN + 1)
    others = [name for n in numbers for name in (f"category_{n}", f"score_{n}")]
    writer.writerow(["file", "label", "category", "score", *others])
    for row in rows:
        best = [value for one in row["best"] for value in (one["category"], one["score"])]
        writer.writerow([row["file_name"], row["label"], *best])


def readable(name: str) -> str:
    """ImageNet's classes have WordNet's numbers for names; others stay as they are.

    Example:
        >>> readable("n01440764"), readable("cat")
        ('tench, Tinca tinca', 'cat')
    """
    return _descriptions().get(name, name) if re.fullmatch(r"n\d{8}", name) else name


@lru_cache(maxsize=1)
def _descriptions() -> dict[str, str]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {name: info.label_name_to_description(name) for name in info.label_names()}


def _write(panel: np.ndarray, text: str, top: int, size: int) -> None:
    """Black letters on a light panel."""
    letters = text_mask(text, size)[: panel.shape[0] - top, : panel.shape[1] - 4]
    place = panel[top : top + letters.shape[0], 4 : 4 + letters.shape[1]]
    share = letters[..., None] / 255
    place[:] = ((1 - share) * place).round().astype(np.uint8)
