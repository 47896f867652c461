"""The table of what goes with what, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dense3d.files import atomic_write
from tests.compatibility.backbones import tiny_backbones
from tests.compatibility.heads import heads
from tests.compatibility.pairing import obstacle, try_pair

WORKS, FAILS = "yes", "**no**"
_INTRODUCTION = """# Backbones under heads

Made by `dense3d compatibility --out docs/compatibility.md`: a small variant of every registered backbone and
adapter stands under a small variant of every head, takes one training step and predicts once. "yes" is a
finite loss whose gradient changes the backbone, and predictions of the right kind and size. Other words say
what keeps two apart; none is a failure.

A backbone or adapter joins when it is registered with an attribute `tiny_variants`, a model of dense3d when
it is registered with a method `tiny`; mmdet's and mmseg's are listed in `tests/compatibility/heads.py`. Tests
name what is missing.
"""


def fill_table(report: Callable[[str, str, str], None] | None = None) -> dict[str, dict[str, str]]:
    """Try every pair: backbone -> head -> cell.

    Args:
        report: told backbone, head and cell as they come.
    """
    cells: dict[str, dict[str, str]] = {}
    columns = heads()
    for backbone, config in tiny_backbones().items():
        for name, head in columns.items():
            cell = obstacle(config, head)
            if cell is None:
                try:
                    try_pair(config, head)
                    cell = WORKS
                except Exception as error:  # the table says which pairs fail, whatever the reason
                    first = (str(error).splitlines() or [""])[0]
                    cell = f"{FAILS}: {type(error).__name__}: {first}"
            cells.setdefault(backbone, {})[name] = cell
            if report is not None:
                report(backbone, name, cell)
    return cells


def as_markdown(cells: Mapping[str, Mapping[str, str]]) -> str:
    """The page of :func:`fill_table`.

    Example:
        >>> as_markdown({"Swin (V1)": {"DINO": "yes"}}).splitlines()[-1]
        '| Swin (V1) | yes |'
    """
    heads = list(next(iter(cells.values())))
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {backbone} | " + " | ".join(row.values()) + " |" for backbone, row in cells.items()]
    return _INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def read_table(path: str | Path) -> dict[str, dict[str, str]]:
    """Undo :func:`as_markdown`."""
    rows = [line for line in Path(path).read_text().splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    heads = table[0][1:]
    return {row[0]: dict(zip(heads, row[1:], strict=True)) for row in table[2:]}


def write_table(path: str | Path, cells: Mapping[str, Mapping[str, str]]) -> None:
    """Write the page, whole or not at all."""
    with atomic_write(path) as file:
        file.write(as_markdown(cells).encode())
