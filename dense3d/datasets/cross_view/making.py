"""Lists of pairs from folders of pictures: rectified pairs, posed photographs, frames of videos."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dense3d.datasets.cross_view.covisibility import overlap_of
from dense3d.datasets.cross_view.lists import Pair, write_pairs
from dense3d.datasets.cross_view.rules import PairRules
from dense3d.datasets.posed_rgb.layouts import is_scene, read_scene
from dense3d.datasets.scan.images import check_image
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_folder
from dense3d.image_files import IMAGE_SUFFIXES


@dataclass
class PairReport:
    """What was found.

    Args:
        pairs: file names relative to the source.
        sequences: how many of each kind gave pairs: ``"rectified"``, ``"posed"``, ``"frames"``.
        left_out: how many pairs or pictures were left out for each reason.
        notes: what was assumed.
    """

    pairs: list[Pair] = field(default_factory=list)
    sequences: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Sentences for a person."""
        pictures = len({name for pair in self.pairs for name in pair})
        sequences = ", ".join(f"{count} {kind}" for kind, count in sorted(self.sequences.items()))
        lines = [f"{len(self.pairs)} pairs of {pictures} pictures (sequences: {sequences or 'none'})"]
        lines += [f"left out: {count} {reason}" for reason, count in self.left_out.most_common()]
        return lines + self.notes


def make_pairs(source: str | Path, out: str | Path, rules: PairRules | None = None) -> PairReport:
    """Find pairs of views below a folder and list them in a file.

    Folders ``left`` and ``right`` beside each other hold rectified pairs; what
    :func:`dense3d.datasets.posed_rgb.read_scene` reads is a posed scene; any other folder with pictures holds
    the frames of a video in the order of the numbers in their names. They may lie at any depth.

    Args:
        source: the folder; file names in the list are relative to it.
        out: the list, which is written whole or not at all.
        rules: which two views make a pair.

    Returns:
        What was found, and what was left out for what reason.

    Raises:
        ConfigError: there is no such folder.
        DataError: there is no pair, or a scene's files are damaged.
    """
    source, rules = Path(source), rules or PairRules()
    if not is_folder(source):
        raise ConfigError(f"{source} is no folder: name one with pictures below it")
    report = PairReport()
    found = list(_sequences(source))
    named = [item for item in found if rules.split is None or _is_of(item[1], source, rules.split)]
    own_split = rules.split if rules.split is not None and not named else None
    for kind, folder in named or found:
        before = len(report.pairs)
        if kind == "rectified":
            _rectified(folder, report)
        elif kind == "posed":
            _posed(folder, rules, own_split, report)
        elif own_split is not None:
            raise DataError(f"{source} has no folder called {own_split}, and pictures have no splits")
        else:
            _frames(folder, rules, report)
        report.sequences[kind] += len(report.pairs) > before
    report.sequences = +report.sequences
    if not report.pairs:
        reasons = "; ".join(report.lines()[1:]) or "there are no two pictures in a folder"
        raise DataError(f"no pair of views was found in {source} ({reasons}); nothing was written")
    report.pairs = _chosen(report, rules)
    report.pairs = [tuple(_relative(name, source) for name in pair) for pair in report.pairs]
    write_pairs(out, report.pairs)
    return report


def _chosen(report: PairReport, rules: PairRules) -> list[Pair]:
    pairs = report.pairs
    if rules.limit is not None and rules.limit < len(pairs):
        report.left_out["pairs beyond the limit"] += len(pairs) - rules.limit
        kept = sorted(random.Random(rules.seed).sample(range(len(pairs)), rules.limit))
        pairs = [pairs[index] for index in kept]
    return [order for pair in pairs for order in ((pair, pair[::-1]) if rules.both_orders else (pair,))]


def _relative(name: str, root: Path) -> str:
    return Path(os.path.relpath(name, root)).as_posix()


def _is_of(folder: Path, source: Path, split: str) -> bool:
    parts = folder.relative_to(source).parts
    return any(part == split or part.startswith(f"{split}_") for part in parts)


def _sequences(folder: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each sequence at or below a folder, in the order of their names."""
    if is_folder(folder / "left") and is_folder(folder / "right"):
        yield "rectified", folder
        return
    if is_scene(folder):
        yield "posed", folder
        return
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir()):
        yield "frames", folder
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."):
        yield from _sequences(below)


def _pictures(folder: Path, report: PairReport) -> list[Path]:
    """Whole pictures in a folder, in the order of the numbers in their names."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    whole = [path for path in sorted(paths, key=_natural) if check_image(path) is None]
    report.left_out.update({"pictures that are damaged": len(paths) - len(whole)})
    report.left_out = +report.left_out
    return whole


def _natural(path: Path) -> tuple[list, str]:
    """``frame10`` comes after ``frame9``."""
    parts = re.split(r"(\d+)", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part], path.name


def _rectified(folder: Path, report: PairReport) -> None:
    right = {path.stem: path for path in _pictures(folder / "right", report)}
    for left in _pictures(folder / "left", report):
        if left.stem in right:
            report.pairs.append((str(left), str(right[left.stem])))
        else:
            report.left_out["left pictures without a right one"] += 1


def _frames(folder: Path, rules: PairRules, report: PairReport) -> None:
    pictures = [str(path) for path in _pictures(folder, report)]
    if len(pictures) <= rules.gap[0]:
        report.left_out[f"folders with no two pictures {rules.gap[0]} apart"] += 1
    for first, name in enumerate(pictures):
        for gap in range(rules.gap[0], min(rules.gap[1], len(pictures) - 1 - first) + 1):
            report.pairs.append((name, pictures[first + gap]))


def _posed(folder: Path, rules: PairRules, split: str | None, report: PairReport) -> None:
    scene = read_scene(folder, split)
    report.left_out.update({"posed pictures without file or pose": len(scene.left_out)})
    overlap = overlap_of(scene, rules.distance)
    if overlap.distance is not None:
        report.notes.append(
            f"{folder}: no depth; surfaces are assumed some {overlap.distance:.3g} units away (--distance)"
        )
    mutual, angle = overlap.mutual, np.maximum(overlap.angle, overlap.angle.T)
    for i, first in enumerate(scene.frames):
        for j in range(i + 1, len(scene.frames)):
            if mutual[i, j] < rules.covisibility:
                report.left_out[f"posed pairs with covisibility below {rules.covisibility:g}"] += 1
            elif angle[i, j] < rules.angle[0]:
                report.left_out[
                    f"posed pairs from directions less than {rules.angle[0]:g} degrees apart"
                ] += 1
            elif angle[i, j] > rules.angle[1]:
                report.left_out[
                    f"posed pairs from directions more than {rules.angle[1]:g} degrees apart"
                ] += 1
            else:
                report.pairs.append((str(first.image_path), str(scene.frames[j].image_path)))
    report.left_out = +report.left_out
