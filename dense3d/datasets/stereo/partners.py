"""Whether the files of two cameras belong together, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

SHOWN = 5  # names in a message
SHARED = 0.5  # of the numbers: above, those that one side lacks are missing files and no other count


def partner_fault(left: Sequence[Path], right: Sequence[Path]) -> str | None:
    """What the names say against pairs of the first files, the second ones and so on, or None.

    Files of one name belong together. Where no name is on both sides, as with ``left_01`` and ``right_01``,
    those of one number do: a name's numbers that are not the same in all names of a side. Where the sides
    share few numbers, as with time stamps, names are no guide.

    Args:
        left, right: the files of each side, in their order.

    Example:
        >>> partner_fault([Path("l/1.png"), Path("l/2.png")], [Path("r/2.png"), Path("r/3.png")])
        '1, 3 has no partner'
        >>> left = [Path(f"left_{name}.png") for name in ("1", "10", "2")]
        >>> partner_fault(left, [Path(f"right_{name}.png") for name in ("01", "02", "10")])
        'left_10.png would be paired with right_02.png: bring both sides into one order, by equal names'
        >>> partner_fault([Path("left_12:01.png")], [Path("right_12:02.png")])
    """
    ours, theirs = ([path.stem for path in side] for side in (left, right))
    if not set(ours) & set(theirs):
        ours, theirs = _numbers(ours), _numbers(theirs)
        if len(set(ours) & set(theirs)) <= SHARED * max(len(ours), len(theirs)):
            return None
    alone = [path.stem for path in (*_alone(left, ours, theirs), *_alone(right, theirs, ours))]
    if alone:
        return f"{', '.join(sorted(alone)[:SHOWN])} has no partner"
    for one, other, name, partner in zip(left, right, ours, theirs):
        if name != partner:
            pair = f"{one.name} would be paired with {other.name}"
            return f"{pair}: bring both sides into one order, by equal names"
    return None


def _numbers(stems: Sequence[str]) -> list[Hashable]:
    """Of each name the numbers that vary, ``left_2_07`` beside ``left_2_08`` gives 7; none if names differ
    in how many numbers they have."""
    found = [tuple(map(int, re.findall(r"\d+", stem))) for stem in stems]
    if len({len(numbers) for numbers in found}) != 1:
        return []
    varying = [len(set(column)) > 1 for column in zip(*found)]
    keys = [tuple(n for n, varies in zip(numbers, varying) if varies) for numbers in found]
    return keys if any(varying) else []


def _alone(files: Sequence[Path], keys: Sequence[Hashable], others: Sequence[Hashable]) -> list[Path]:
    """Files whose key the other side has less often."""
    missing = Counter(keys) - Counter(others)
    return [path for path, key in zip(files, keys) if key in missing]
