"""What a data set's layout is described with: its kinds of files, and which file belongs to which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LayoutPart:
    """Files of one kind in a data set.

    Attributes:
        folder: folder below the root.
        pattern: glob of the files in it.
        count: how many the full data set has; None where that is not known.
        needed_for: None for what every use needs, else the use; absence is then no fault.
        partner_of: a folder and pattern whose every file needs one of these, by the rule ``partner``.
        partner: from the name of a file there to the name of the file here, both relative to their folders.
        remedy: what brings the files.
    """

    folder: str
    pattern: str
    count: int | None
    needed_for: str | None = None
    partner_of: tuple[str, str] | None = None
    partner: Callable[[str], str] = str
    remedy: str = "see data/README.md"


def new_suffix(new: str, old: str | None = None) -> Callable[[str], str]:
    """A rule from a file to its partner: the end ``old`` of its name, else its suffix, becomes ``new``.

    Example:
        >>> new_suffix(".png")("a/b.jpg"), new_suffix("_right.jpg", "_left.jpg")("b_left.jpg")
        ('a/b.png', 'b_right.jpg')
    """
    return lambda name: name.removesuffix(old or Path(name).suffix) + new
