"""Results as files: JSON with everything, CSV with a row an image; each appears whole or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from dense3d.errors import ConfigError
from dense3d.evaluation.depth.result import DepthResult
from dense3d.files import atomic_write

SUFFIXES = (".json", ".csv")


def require_result_name(path: str | Path) -> Path:
    """The path, if its suffix says a format.

    Raises:
        ConfigError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: figures are written as {' or '.join(SUFFIXES)}; name such a file")
    return path


def write_result(path: str | Path, result: DepthResult) -> None:
    """Write the figures of ``result``.

    Args:
        path: ``.json``: everything; ``.csv``: a row an image, with the protocol's name in each.
        result: the figures.

    Raises:
        ConfigError: another suffix.
    """
    path = require_result_name(path)
    if path.suffix.lower() == ".json":
        with atomic_write(path, "w") as file:
            json.dump(result.to_dict(), file, indent=1)
        return
    rows = [{"protocol": result.protocol.name, **row} for row in result.rows()]
    columns = list(dict.fromkeys(column for row in rows for column in row)) or ["protocol", "image"]
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
