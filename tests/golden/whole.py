"""The whole kits, where there are any, and which checks of a compact kit are parts of theirs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.golden.kit import GoldenKit, align

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "golden"
FOLDER = Path(os.environ.get("DENSE3D_GOLDEN", BESIDE))
_FORWARD = ("forward", "forward_train_groups")
# Left out of the usual run of the whole kits: the compact ones have these, thinned.
SLOW = {"monodino-detr": _FORWARD, "monodino-detr-base": _FORWARD}


def checks_of_whole(folder: Path) -> set[str]:
    """Checks of a compact kit that follow from those that the usual run verifies of the whole kit.

    Config, weights and inputs are the same, and what is stored is a part of what the whole kit stores.
    Without whole kits there are none.
    """
    if not (FOLDER / folder.name / "kit.json").is_file():
        return set()
    compact, whole = GoldenKit(folder), GoldenKit(FOLDER / folder.name)
    # The sources are named more closely here, and checks are left out; all else counts.
    differing = {key for key in {*compact.meta, *whole.meta} if compact.meta.get(key) != whole.meta.get(key)}
    if differing - {"source", "notes", "checks"} or not _same(_kept(compact), _kept(whole)):
        return set()
    slow = SLOW.get(folder.name, ())
    return {c["name"] for c in compact.checks if c["name"] not in slow and _is_part(c, compact, whole)}


def _is_part(check: dict, compact: GoldenKit, whole: GoldenKit) -> bool:
    if check not in whole.checks:
        return False
    inputs = [
        kit.inputs(check["name"]) or kit.inputs(kit.checks[0]["name"]) for kit in (compact, whole)
    ]  # a check without inputs takes those of the first
    mine, theirs = compact.outputs(check["name"]), whole.outputs(check["name"])
    return _same(*inputs) and mine.keys() == theirs.keys() and all(_within(mine[k], theirs[k]) for k in mine)


def _within(part: np.ndarray, output: np.ndarray) -> bool:
    if part.shape == output.shape or part.dtype.kind not in "fiub":
        return _equal(part, output)
    try:
        return _equal(part, align(output, part))
    except ValueError:
        return False


def _kept(kit: GoldenKit) -> dict[str, np.ndarray]:
    return {key: value for key, value in kit.tensors.items() if key.startswith("keep/")}


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
