"""Colours of classes."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]


def distinct_colours(count: int) -> list[Colour]:
    """RGB colours that differ in hue as much as ``count`` allows, neighbours most of all.

    Example:
        >>> len(set(distinct_colours(20)))
        20
    """
    golden = 0.618033988749895  # steps of the golden ratio never come close to an earlier hue
    hues = [(0.02 + golden * i) % 1.0 for i in range(count)]
    return [
        tuple(round(255 * v) for v in colorsys.hsv_to_rgb(h, (0.95, 0.65)[i % 2], 1.0))
        for i, h in enumerate(hues)
    ]


def class_colours(palette: object, count: int) -> list[Colour]:
    """RGB colours of at least ``count`` classes: the palette's if it has so many, else distinct ones.

    Example:
        >>> class_colours([(1, 2, 3)], 1), len(class_colours("random", 300)), len(class_colours(None, 2))
        ([(1, 2, 3)], 300, 256)
    """
    given = [] if isinstance(palette, str) or palette is None else list(palette)
    if given and len(given) >= count:
        return [tuple(map(int, colour)) for colour in given]
    return distinct_colours(max(count, 256))
