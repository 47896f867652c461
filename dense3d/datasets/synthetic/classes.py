"""The classes of the synthetic world; a thing's class is its shape, never its colour."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One class: its id (1..N, things first), name, kind and drawing colour (RGB)."""

    id: int
    name: str
    isthing: bool
    color: tuple[int, int, int]


CATEGORIES = (
    Category(1, "box", True, (220, 20, 60)),
    Category(2, "sphere", True, (0, 110, 230)),
    Category(3, "cylinder", True, (250, 170, 30)),
    Category(4, "cone", True, (60, 180, 75)),
    Category(5, "torus", True, (165, 42, 200)),
    Category(6, "cross", True, (0, 200, 200)),
    Category(7, "ground", False, (128, 96, 64)),
    Category(8, "wall", False, (150, 150, 150)),
    Category(9, "sky", False, (135, 206, 250)),
)
THING_CLASSES = tuple(category.name for category in CATEGORIES if category.isthing)
STUFF_CLASSES = tuple(category.name for category in CATEGORIES if not category.isthing)
CATEGORY_IDS = {category.name: category.id for category in CATEGORIES}
