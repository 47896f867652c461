"""What the notes of a kit say about a check: the grid of its tokens, the modules that it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dense3d.errors import DataError
from tests.golden.kit import GoldenKit


def stated_grid(kit: GoldenKit, check: dict, count: int) -> tuple[int, int]:
    """Rows and columns of ``count`` tokens: as the check's note says, else the note of another check.

    Raises:
        DataError: no note states such a grid, or several notes state different ones.
    """
    own, named, others = _notes(kit, check)
    for notes in (own, named, others):
        found = {grid for note in notes for grid in _grids(note) if grid[0] * grid[1] == count}
        if len(found) > 1:
            raise DataError(
                f"{kit.folder}: the {count} tokens of the check {check['name']!r} may lie on "
                f"{' or '.join(f'{h}x{w}' for h, w in sorted(found))}; say in its note which"
            )
        if found:
            return found.pop()
    raise DataError(
        f"{kit.folder}: no note says on which grid the {count} tokens of the check {check['name']!r} lie"
    )


def _grids(note: str) -> Iterator[tuple[int, int]]:
    return ((int(h), int(w)) for h, w in re.findall(r"(?<![\d.])(\d+)\s*x\s*(\d+)(?![\d.]*\d)", note))


def _notes(kit: GoldenKit, check: dict) -> tuple[list[str], list[str], list[str]]:
    """The check's own note, those of the checks that it names, and the others."""
    own = check.get("note", "")
    named, others = [], [kit.meta.get("notes") or ""]
    for other in kit.checks:
        if other["name"] == check["name"]:
            continue
        is_named = re.search(rf"\b{re.escape(other['name'])}\b", own)
        (named if is_named else others).append(other.get("note", ""))
    return [own], named, others


def full_note(kit: GoldenKit, check: dict) -> str:
    """The note of a check, and behind it those of the checks that it names."""
    own, named, _ = _notes(kit, check)
    return "; ".join([*own, *named])


def stated_numbers(kit: GoldenKit, check: dict, pattern: str, output: str | None = None) -> list[int]:
    """Numbers that ``pattern`` has as its group in the notes, in the order of the first note with any.

    Args:
        kit: the kit.
        check: the check; its note comes first, then those of the checks that it names.
        pattern: regular expression with one group.
        output: only in what a note says of this output, ``<output>: ... ;``, be it that of any check.

    Example:
        >>> check = {"name": "modules", "note": "block_window: blocks.4(x); block_global: blocks.2(x)"}
        >>> kit = type("Kit", (), {"checks": [check], "meta": {}})
        >>> stated_numbers(kit, check, r"blocks\\.(\\d+)", "block_global")
        [2]
        >>> stated_numbers(kit, check, r"blocks\\.(\\d+)")
        [4, 2]
    """
    own, named, others = _notes(kit, check)
    for note in [*own, *named, *(others if output is not None else ())]:
        text = note
        if output is not None:
            clause = re.search(rf"(?<![\w.]){re.escape(output)}\s*[:=]([^;]*)", note)
            text = clause[1] if clause else ""
        numbers = [int(number) for number in re.findall(pattern, text)]
        if numbers:
            return numbers
    return []


def stated_block(kit: GoldenKit, check: dict, module: str = "blocks", count: int | None = None) -> int:
    """Number of the block that a check runs: as the notes say, else as its name ends, else 0.

    Args:
        kit: the kit.
        check: the check.
        module: name of the list that the block stands in.
        count: blocks that there are.

    Raises:
        DataError: there are fewer blocks.
    """
    numbers = stated_numbers(kit, check, rf"(?<![\w]){re.escape(module)}\.(\d+)")
    in_name = re.match(r"[a-z]+?(\d+)", check["name"])
    number = numbers[0] if numbers else int(in_name[1]) if in_name else 0
    if count is not None and number >= count:
        raise DataError(
            f"{kit.folder}: the check {check['name']!r} is of {module}.{number}, but there are {count}"
        )
    return number


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def stated_place(kit: GoldenKit, check: dict) -> tuple[int, int]:
    """Stage and block, from 0, that a note names: "first block of stage 3", "third stage, first block".

    A stage that is a number counts from 1; the block is the first where none is named.

    Raises:
        DataError: neither the check's note nor that of a check that it names states a stage.

    Example:
        >>> kit = type("Kit", (), {"folder": "kit", "checks": [], "meta": {}})
        >>> stated_place(kit, {"name": "block", "note": "second block of stage 3"})
        (2, 1)
        >>> stated_place(kit, {"name": "block", "note": "attention of the third stage, first block"})
        (2, 0)
    """
    note = full_note(kit, check)
    ordinals = "|".join(_ORDINALS)
    stage = re.search(rf"({ordinals}) stage|stage (\d+)", note)
    if stage is None:
        raise DataError(f"{kit.folder}: the note of the check {check['name']!r} names no stage")
    block = re.search(rf"({ordinals}) block", note)
    number = _ORDINALS.index(stage[1]) if stage[1] else int(stage[2]) - 1
    return number, _ORDINALS.index(block[1]) if block else 0
