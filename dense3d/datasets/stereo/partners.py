"""Whether the files of two cameras belong together, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def without_partner(left: Iterable[Path], right: Iterable[Path]) -> list[str]:
    """Names, without suffix, that one side has and the other lacks, sorted.

    Where no name at all is on both sides, as with ``left_01`` and ``right_01``, names are no guide, and none
    is returned.

    Example:
        >>> without_partner([Path("l/1.png"), Path("l/2.png")], [Path("r/2.png"), Path("r/3.png")])
        ['1', '3']
        >>> without_partner([Path("left_1.png")], [Path("right_1.png")])
        []
    """
    ours, theirs = (Counter(path.stem for path in side) for side in (left, right))
    return sorted(((ours - theirs) + (theirs - ours)).keys()) if ours & theirs else []
