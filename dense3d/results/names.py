"""Names of the files that belong to images, where two images may share one name."""

from __future__ import annotations

from pathlib import Path

LONGEST = 180  # bytes; file systems take 255, of which suffix and temporary name need some


class FileNames:
    """A name for each image of a run, without suffix: the image's own, or numbered where that is taken.

    Upper and lower case count as the same: some file systems do not tell them apart.

    Example:
        >>> names = FileNames()
        >>> [names.of(image) for image in ("a/x.jpg", "b/x.jpg", "X.jpeg", "y.png")]
        ['x', 'x_2', 'X_3', 'y']
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def of(self, image: str | Path) -> str:
        """A name that no image before had.

        Args:
            image: its path or name.
        """
        stem = _shortened(Path(image).stem)
        name, number = stem, 1
        while name.casefold() in self._used:
            number += 1
            name = f"{stem}_{number}"
        self._used.add(name.casefold())
        return name


def _shortened(stem: str) -> str:
    while len(stem.encode(errors="surrogateescape")) > LONGEST:
        stem = stem[:-1]
    return stem
