"""Figures of a set of maps, with the protocol beside them: for people, programs and loggers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dense3d.evaluation.depth.depth_errors import DepthComparison
from dense3d.evaluation.depth.matching_errors import MatchingComparison
from dense3d.evaluation.depth.protocols import Protocol
from dense3d.evaluation.depth.tally import Tally, mean_over_images


@dataclass(frozen=True)
class ImageResult:
    """Errors of one image.

    Args:
        name: of the pair.
        regions: sums of errors; ``"all"`` is always there.
        size: of the ground truth, (H, W).
        predicted_size: of the prediction before it was resized.
        holes: pixels that count and have no prediction.
        ratio: by which median scaling multiplied; NaN without it.
        clamped: pixels whose prediction was moved into the protocol's limits.
    """

    name: str
    regions: dict[str, Tally]
    size: tuple[int, int]
    predicted_size: tuple[int, int]
    holes: int = 0
    ratio: float = float("nan")
    clamped: int = 0

    @staticmethod
    def of(
        name: str,
        comparison: DepthComparison | MatchingComparison,
        size: tuple[int, ...],
        predicted_size: tuple[int, ...],
    ) -> ImageResult:
        """What was found for one image; sizes may be whole shapes (H, W, ...)."""
        sizes = tuple(size[:2]), tuple(predicted_size[:2])
        if isinstance(comparison, MatchingComparison):
            return ImageResult(name, comparison.regions, *sizes, comparison.holes)
        found = comparison
        return ImageResult(name, found.regions, *sizes, found.holes, found.ratio, found.clamped)


@dataclass(frozen=True)
class DepthResult:
    """Errors of a set of images under one protocol.

    Args:
        protocol: what was counted, and how.
        images: in their order.
        missing: names of images without prediction, which were left out.
        notices: what a reader should know beside the numbers, a sentence each.
    """

    protocol: Protocol
    images: list[ImageResult]
    missing: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def empty(self) -> list[str]:
        """Names of the images in which no pixel counts; they have no part in any mean."""
        return [image.name for image in self.images if not image.regions["all"].pixels]

    @property
    def pixels(self) -> int:
        """Pixels that count."""
        return sum(image.regions["all"].pixels for image in self.images)

    @property
    def holes(self) -> int:
        """Those of them without prediction."""
        return sum(image.holes for image in self.images)

    def means(self, mean: str | None = None) -> dict[str, dict[str, float]]:
        """Region -> metric -> figure.

        Args:
            mean: over ``"images"`` or over all ``"pixels"``; the protocol's by default.
        """
        names = dict.fromkeys(name for image in self.images for name in image.regions)
        found = {}
        for name in names:
            tallies = [image.regions[name] for image in self.images if name in image.regions]
            over_images = (mean or self.protocol.mean) == "images"
            found[name] = mean_over_images(tallies) if over_images else Tally.joined(tallies).values()
        return found

    def flat(self) -> dict[str, float]:
        """One number a name, for loggers: ``EPE``, ``EPE_nonoccluded`` ..., with the protocol's mean."""
        return {
            metric if region == "all" else f"{metric}_{region}": value
            for region, values in self.means().items()
            for metric, value in values.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures for a JSON file; what has no pixel is None."""
        return {
            "protocol": self.protocol.name,
            "rules": self.protocol.describe(),
            "images": len(self.images),
            "empty": self.empty,
            "missing": self.missing,
            "pixels": self.pixels,
            "holes": self.holes,
            "ground_truth_sizes": _sizes(image.size for image in self.images),
            "prediction_sizes": _sizes(image.predicted_size for image in self.images),
            "mean": {region: _numbers(values) for region, values in self.means().items()},
            "mean_over_images": {r: _numbers(values) for r, values in self.means("images").items()},
            "mean_over_pixels": {r: _numbers(values) for r, values in self.means("pixels").items()},
            "per_image": self.rows(),
            "notices": self.notices,
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row an image, for a CSV file."""
        rows = []
        for image in self.images:
            row: dict[str, Any] = {"image": image.name, "pixels": image.regions["all"].pixels}
            row |= {"holes": image.holes, "clamped": image.clamped}
            if image.ratio == image.ratio:
                row["median_ratio"] = image.ratio
            for region, tally in image.regions.items():
                suffix = "" if region == "all" else f"_{region}"
                row |= {f"{name}{suffix}": value for name, value in _numbers(tally.values()).items()}
            rows.append(row)
        return rows

    def by_folder(self) -> dict[str, DepthResult]:
        """The images of each first folder of their names, such as the weathers of DrivingStereo."""
        parts: dict[str, list[ImageResult]] = {}
        for image in self.images:
            folder, slash, _ = image.name.partition("/")
            parts.setdefault(folder if slash else ".", []).append(image)
        return {folder: DepthResult(self.protocol, images) for folder, images in parts.items()}

    def table(self) -> str:
        """The protocol, what was evaluated, and the figures (D1, Fl and bad-X in percent)."""
        return "\n".join([*self._head(), "", *self._figures()])

    def _head(self) -> list[str]:
        share = 100 * self.holes / self.pixels if self.pixels else 0.0
        predictions = _sizes(image.predicted_size for image in self.images)
        truths = _sizes(image.size for image in self.images)
        lines = [
            (
                "protocol",
                f"{self.protocol.name} ({self.protocol.use})" if self.protocol.use else self.protocol.name,
            ),
            ("", self.protocol.describe()),
            ("images", f"{len(self.images)}, {len(self.empty)} of them without ground truth that counts"),
            ("ground truth", ", ".join(truths)),
            ("predictions", ", ".join(predictions) + ("" if truths == predictions else ", resized")),
            ("pixels", f"{self.pixels}, {share:.2f} % of them without prediction"),
        ]
        if self.missing:
            lines.insert(3, ("missing", f"{len(self.missing)} images have no prediction and are left out"))
        ratios = np.array([image.ratio for image in self.images if image.ratio == image.ratio])
        if ratios.size:
            spread = ratios.std() / np.median(ratios)
            lines.append(("scale", f"median ratio {np.median(ratios):.3f}, deviation {spread:.3f} of it"))
        return [f"{name:<14}{text}" for name, text in lines]

    def _figures(self) -> list[str]:
        means = self.means()
        metrics = list(dict.fromkeys(metric for values in means.values() for metric in values))
        rows = [("region", "pixels", *metrics)]
        for region, values in means.items():
            pixels = sum(i.regions[region].pixels for i in self.images if region in i.regions)
            rows.append((region, str(pixels), *(_figure(values.get(metric)) for metric in metrics)))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return [
            "  ".join(
                cell.ljust(width) if not i else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            )
            for row in rows
        ]


def summarise(
    protocol: Protocol,
    images: Iterable[ImageResult],
    missing: Iterable[str] = (),
    notices: Iterable[str] = (),
) -> DepthResult:
    """The result of all images, with a notice for what would be misread."""
    result = DepthResult(protocol, list(images), list(missing), list(notices))
    if result.images and not result.pixels:
        result.notices.append(
            "no pixel counts in any image, so that there are no figures: is the ground truth empty, or does "
            "the protocol not fit it?"
        )
    clamped = sum(image.clamped for image in result.images)
    if clamped > 0.05 * result.pixels:
        result.notices.append(
            f"{100 * clamped / result.pixels:.1f} % of the predictions that count were clamped to the "
            "protocol's limits: are they in metres?"
        )
    return result


def _sizes(sizes: Iterable[tuple[int, int]]) -> list[str]:
    """The most frequent sizes, ``["375x1242 (20)", "3 other sizes (4)"]``; a single one without its count."""
    counts = Counter(f"{height}x{width}" for height, width in sizes).most_common()
    if len(counts) == 1:
        return [counts[0][0]]
    words = [f"{size} ({number})" for size, number in counts[:3]]
    rest = counts[3:]
    return words + ([f"{len(rest)} other sizes ({sum(n for _, n in rest)})"] if rest else [])


def _figure(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}" if value < 100 else f"{value:.1f}"


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if value == value else None for name, value in values.items()}
