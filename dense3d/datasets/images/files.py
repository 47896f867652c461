"""Which files are images."""

from __future__ import annotations

from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def images_below(folder: Path) -> list[Path]:
    """Image files in a folder and the folders below it, sorted.

    Example:
        >>> images_below(Path("no/such/folder"))
        []
    """
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
