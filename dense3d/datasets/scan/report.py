"""Faults of a data set and the report that collects them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dense3d.errors import DataError
from dense3d.files import atomic_write

SHOWN = 10  # faults of one rule that tables and messages spell out; the JSON file holds all


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, as a file, an item in it, the rule it breaks and the value seen.

    Attributes:
        rule: short name of the rule, for instance ``"box-negative"``.
        file: the file concerned.
        value: what was seen there.
        item: the item inside the file, for instance ``"annotation 17"``.
        remedy: what to do about it.
        image: id or path of the image concerned, so that it can be skipped.
    """

    rule: str
    file: str
    value: str
    item: str = ""
    remedy: str = ""
    image: Any = None

    def __str__(self) -> str:
        where = f"{self.file}: {self.item}" if self.item else self.file
        remedy = f"; {self.remedy}" if self.remedy else ""
        sentence = f"{where}: {self.value} ({self.rule}){remedy}"
        if sentence.isprintable():
            return sentence
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


@dataclass
class ScanReport:
    """What a scan of one data set saw.

    Attributes:
        name: what was scanned, for people.
        found: images that are there and pass.
        missing: files that are named but absent.
        empty: images without any annotation (which is no fault).
        corrupt: files that are there but cannot be read.
        annotations: annotated objects.
        faults: what stops a training run.
        notes: what is unusual but is dealt with, for instance boxes of no size, which are left out.
    """

    name: str
    found: int = 0
    missing: int = 0
    empty: int = 0
    corrupt: int = 0
    annotations: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return asdict(self)

    def save(self, path: str | Path) -> None:
        """Write the report as JSON, whole or not at all."""
        save_reports([self], path)

    def lines(self) -> list[str]:
        """The faults and notes, at most a few of each rule, each group with its count."""
        return [*_grouped(self.faults, "fault"), *self.note_lines()]

    def note_lines(self, most: int = SHOWN) -> list[str]:
        """The notes alone, at most ``most`` of each rule, each group with its count."""
        return _grouped(self.notes, "note", most)

    def table(self) -> str:
        """Counts and faults as text."""
        return merged_table([self])

    def raise_if_faulty(self) -> None:
        """Stop with the first fault, and the number of all.

        Raises:
            DataError: there is a fault.
        """
        if self.ok:
            return
        rest = len(self.faults) - 1
        more = f" [and {rest} more: dense3d browse CONFIG --check lists all]" if rest else ""
        raise DataError(f"{self.faults[0]}{more}")


def merged_table(reports: Iterable[ScanReport]) -> str:
    """A row of counts per data set, then the faults and notes of each."""
    reports = list(reports)
    columns = ("found", "missing", "empty", "corrupt", "annotations", "faults", "notes")
    rows = [("data set", *columns)]
    for r in reports:
        rows.append((r.name, *(str(len(v) if isinstance(v := getattr(r, c), list) else v) for c in columns)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        for row in rows
    ]
    for report in reports:
        if report.faults or report.notes:
            lines += ["", f"{report.name}:", *(f"  {line}" for line in report.lines())]
    return "\n".join(lines)


def save_reports(reports: Iterable[ScanReport], path: str | Path) -> None:
    """Write reports as a JSON list."""
    with atomic_write(path, "w") as file:
        json.dump([report.to_dict() for report in reports], file, indent=1, default=str)


def _grouped(faults: list[Fault], kind: str, most: int = SHOWN) -> list[str]:
    lines = []
    for rule, count in Counter(fault.rule for fault in faults).items():
        lines.append(f"{kind} {rule}: {count}")
        members = [fault for fault in faults if fault.rule == rule]
        lines += [f"  {fault}" for fault in members[:most]]
        lines += [f"  ... and {count - most} more"] if count > most else []
    return lines
