"""JSON that every reader takes: the format has no NaN and no infinity, which Python writes all the same."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from dense3d.files import atomic_write


def json_text(document: Any, indent: int | None = 1) -> str:
    """The document as JSON; a number that is NaN or infinite is ``null``.

    Args:
        document: plain values, NumPy's scalars and arrays among them.
        indent: of nested values; None for a single line.

    Example:
        >>> json_text({"psnr": float("inf"), "mse": np.float32(0.0)}, None)
        '{"psnr": null, "mse": 0.0}'
    """
    return json.dumps(_finite(document), indent=indent, allow_nan=False)


def write_json(path: str | os.PathLike, document: Any) -> None:
    """Write :func:`json_text` and a line break, whole or not at all."""
    text = json_text(document)
    with atomic_write(path, "w") as file:
        file.write(text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
