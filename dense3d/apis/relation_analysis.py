"""How strongly the boxes of a COCO annotation file are correlated: tables and a histogram."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dense3d.datasets.scan.coco_file import open_coco, raise_first
from dense3d.errors import DataError
from dense3d.evaluation.macroscopic_correlation import UNRELATED, macroscopic_correlation
from dense3d.files import atomic_write

# Faults of an annotation file without which its boxes can be correlated.
FATAL = (
    "format",
    "box-format",
    "box-not-finite",
    "box-negative",
    "unknown-image",
    "unknown-category",
    "no-images",
)
CLASSES_DRAWN = 20


@dataclass
class Correlations:
    """Macroscopic correlation of the images that have at least two boxes, of one class or of all.

    Attributes:
        name: the class, ``"all"`` for boxes of every class together.
        boxes: number of boxes, those of skipped images included.
        values: MC of each image that counts.
        skipped: images with boxes, but fewer than two; for all classes also those without any.
    """

    name: str
    boxes: int
    values: np.ndarray
    skipped: int

    def summary(self) -> dict[str, float | int | str | None]:
        """Numbers of images and boxes, mean, standard deviation and quartiles; None without any image."""
        statistics = dict.fromkeys(("mean", "std", "quartile_1", "median", "quartile_3"))
        if len(self.values):
            quartiles = np.quantile(self.values, (0.25, 0.5, 0.75))
            numbers = (self.values.mean(), self.values.std(), *quartiles)
            statistics = {key: float(number) for key, number in zip(statistics, numbers)}
        counts = dict(images=len(self.values), skipped=self.skipped, boxes=self.boxes)
        return {"name": self.name, **counts, **statistics}


@dataclass
class RelationAnalysis:
    """What :func:`analyse_relations` found: overall, and by class in falling order of images."""

    file: str
    overall: Correlations
    classes: list[Correlations]

    def to_dict(self) -> dict:
        """Plain numbers, for JSON."""
        classes = [entry.summary() for entry in self.classes]
        return {"file": self.file, "overall": self.overall.summary(), "classes": classes}


def analyse_relations(annotation_file: str | Path, out: str | Path | None = None) -> RelationAnalysis:
    """Macroscopic correlation (arXiv 2407.11699) of the boxes in a COCO instances file.

    Crowd annotations are left out. The value of a class is that of the boxes of this class alone.

    Args:
        annotation_file: COCO instances file.
        out: folder for ``relations.json`` and the histogram ``relations.png``.

    Raises:
        DataError: the file is missing or of another format, a box is malformed, or no image has two boxes.
    """
    opened = open_coco(annotation_file)
    raise_first([fault for fault in opened.findings.faults if fault.rule in FATAL])
    document = opened.document
    analysis = _analysed(document, str(annotation_file))
    if not len(analysis.overall.values):
        number = len(document["images"])
        raise DataError(
            f"{annotation_file}: none of its {number} images has two boxes that are no crowds, so that there "
            "is nothing to correlate; give a file of images with several objects"
        )
    if out is not None:
        _write(analysis, Path(out))
    return analysis


def _analysed(document: dict, file: str) -> RelationAnalysis:
    names = {category["id"]: category["name"] for category in document["categories"]}
    by_image: dict = defaultdict(list)
    by_class: dict = {category: defaultdict(list) for category in names}
    for annotation in document["annotations"]:
        if not annotation.get("iscrowd"):
            by_image[annotation["image_id"]].append(annotation["bbox"])
            by_class[annotation["category_id"]][annotation["image_id"]].append(annotation["bbox"])
    overall = _correlations("all", by_image)
    overall.skipped = len(document["images"]) - len(overall.values)
    classes = [_correlations(names[category], images) for category, images in by_class.items() if images]
    return RelationAnalysis(file, overall, sorted(classes, key=lambda entry: -len(entry.values)))


def _correlations(name: str, images: dict[int, list]) -> Correlations:
    values = np.array([macroscopic_correlation(np.array(boxes)) for boxes in images.values()])
    counted = values[~np.isnan(values)]
    return Correlations(name, sum(map(len, images.values())), counted, len(values) - len(counted))


def _write(analysis: RelationAnalysis, out: Path) -> None:
    with atomic_write(out / "relations.json", "w") as file:
        json.dump(analysis.to_dict(), file, indent=1)
    figure = draw(analysis)
    with atomic_write(out / "relations.png") as file:
        figure.savefig(file, format="png", dpi=120)


def draw(analysis: RelationAnalysis):
    """Histogram over images beside means and quartiles of the commonest classes: a matplotlib Figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    histogram, classes = figure.subplots(1, 2, width_ratios=(3, 2))
    overall = analysis.overall
    histogram.hist(overall.values, bins=np.linspace(0, 1, 41), color="tab:blue")
    histogram.axvline(overall.values.mean(), color="black", linestyle="--", label="mean")
    histogram.axvline(UNRELATED, color="black", linestyle=":", label="independent numbers")
    histogram.set(xlim=(0, 1), xlabel="macroscopic correlation", ylabel="images")
    histogram.set_title(f"{Path(analysis.file).name}: {len(overall.values)} images, {overall.boxes} boxes")
    histogram.legend()
    shown = [entry for entry in analysis.classes if len(entry.values)][:CLASSES_DRAWN][::-1]
    means = [entry.values.mean() for entry in shown]
    low, high = (np.array([np.quantile(entry.values, q) for entry in shown]) for q in (0.25, 0.75))
    rows = np.arange(len(shown))
    classes.hlines(rows, low, high, color="tab:blue", alpha=0.4, linewidth=6)
    classes.plot(means, rows, "o", color="black", markersize=4)
    classes.set_yticks(rows, [f"{entry.name} ({len(entry.values)})" for entry in shown])
    classes.set(xlim=(0, 1), xlabel="within the class: mean and quartiles (images)")
    return figure


def print_analysis(analysis: RelationAnalysis) -> None:
    """A line for all boxes together and one for each class."""
    overall = analysis.overall
    title = f"macroscopic correlation; {overall.skipped} images with fewer than two boxes are skipped"
    columns = ("class", "images", "skipped", "boxes", "mean", "std", "quartile 1", "median", "quartile 3")
    table = Table(*columns, title=title, caption=f"boxes of independent numbers have {UNRELATED}")
    for entry in (overall, *analysis.classes):
        cells = [str(v) if isinstance(v, (int, str)) else _number(v) for v in entry.summary().values()]
        table.add_row(*cells, end_section=entry is overall)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
