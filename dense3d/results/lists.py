"""Lists of results that grow while a run goes on, so that what is done outlives a run that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dense3d.files import atomic_write


class GrowingList:
    """Rows that are written as they come, to ``NAME.jsonl``, and that :meth:`finish` makes ``NAME.json`` of.

    A run that is killed leaves ``NAME.jsonl`` with one row of JSON a line.

    Args:
        target: the JSON file. An older one, and what a killed run left, go with the first row, or at the end.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.lines = target.with_suffix(".jsonl")
        self._file: Any = None

    def extend(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows; they are on their way to the disk when this returns."""
        if self._file is None:
            self.lines.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.lines.open("w", encoding="utf-8")
            self.target.unlink(missing_ok=True)
        self._file.writelines(json.dumps(row) + "\n" for row in rows)
        self._file.flush()

    @property
    def has_begun(self) -> bool:
        """Whether :meth:`extend` was called."""
        return self._file is not None

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return [json.loads(line) for line in self._texts()]

    def finish(self) -> None:
        """Write the JSON file, whole or not at all, with the rows as its list, and take the lines away."""
        with atomic_write(self.target, "w") as file:
            file.write("[")
            for number, text in enumerate(self._texts()):
                file.write(", " * bool(number) + text)
            file.write("]")
        self.close()

    def close(self) -> None:
        """Take the lines away, once their content is where it belongs."""
        if self._file is not None:
            self._file.close()
        self.lines.unlink(missing_ok=True)

    def _texts(self) -> Iterable[str]:
        if self._file is None:
            return
        with self.lines.open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")
