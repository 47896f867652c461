"""File names of the samples of a batch, and errors about a batch that carry them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from dense3d.errors import DataError

NAMES_SHOWN = 16
_NAME_KEYS = ("img_path", "file_name", "filename", "path", "lidar_path", "img_id", "sample_idx")


def names_of(batch: Any) -> Iterator[str]:
    """File names (or identifiers) of the samples of a batch, as far as the samples carry them.

    Args:
        batch: what the data loader gave: nested dicts and lists with data samples inside.

    Example:
        >>> list(names_of({"inputs": [0, 1], "img_path": ["a.jpg", "b.jpg"]}))
        ['a.jpg', 'b.jpg']
    """
    if isinstance(batch, dict):
        for key in _NAME_KEYS:
            if key in batch:
                value = batch[key]
                yield from map(str, value if isinstance(value, (list, tuple)) else [value])
                return
        for value in batch.values():
            yield from names_of(value)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from names_of(value)
    elif hasattr(batch, "metainfo"):
        yield from names_of(dict(batch.metainfo))


@contextlib.contextmanager
def naming_samples(batch: Any) -> Iterator[None]:
    """Add the files of ``batch`` to a :class:`DataError` of a model, which sees pixels only.

    Raises:
        DataError: in place of one that names none of the files.

    Example:
        >>> with naming_samples({"img_path": ["a.jpg"]}):
        ...     raise DataError("an image has no pixels")
        Traceback (most recent call last):
        dense3d.errors.DataError: an image has no pixels (in the batch of a.jpg)
    """
    try:
        yield
    except DataError as error:
        names = list(islice(dict.fromkeys(names_of(batch)), NAMES_SHOWN))  # views of one image count once
        if not names or any(name in str(error) for name in names):
            raise
        raise DataError(f"{error} (in the batch of {', '.join(names)})") from error
