"""The frame of the fuzzers: each kind of end is recognised, and mutations are whole and the same each run."""

from __future__ import annotations

import copy
import ctypes
import sys
import time

import numpy as np
import pytest
from hypothesis import given

from dense3d.errors import DataError
from tests.fuzz.mutations import damaged, mutated
from tests.fuzz.outcomes import FAULT, REFUSED, SUCCESS, assert_clear, outcome_of

DOCUMENT = {"images": [{"id": 1, "file_name": "a.jpg"}], "boxes": [[1.0, 2.0, 3.0, 4.0]]}


def refuse(sentence: str) -> None:
    raise DataError(sentence)


def leave(status: int, line: str) -> None:
    print(line, file=sys.stderr)
    sys.exit(status)


@pytest.mark.parametrize(
    ("kind", "part", "call"),
    [
        (SUCCESS, "", lambda: 3),
        (REFUSED, "a.json: id is", lambda: refuse("a.json: id is 'x', not a number; correct it")),
        (FAULT, "more than one line", lambda: refuse("a.json\nid")),
        (FAULT, "it is empty", lambda: refuse("")),
        (FAULT, "it has <class", lambda: refuse(f"a.json: expected {int}")),
        (FAULT, "ZeroDivisionError", lambda: 1 / 0),
        (FAULT, "AssertionError", lambda: np.testing.assert_equal(1, 2)),
        (FAULT, "SIGSEGV", lambda: ctypes.string_at(0)),
        (FAULT, "still running", lambda: time.sleep(60)),
        (FAULT, "still running", lambda: sum(iter(int, 1))),  # endless work
        (FAULT, "MemoryError", lambda: np.zeros(10**9)),
        (SUCCESS, "", lambda: leave(0, "done")),
        (REFUSED, "error: no such file", lambda: leave(2, "usage\nerror: no such file")),
        (FAULT, "exit status 1", lambda: leave(1, "error: no such file")),
    ],
)
def test_every_end_is_recognised(kind: str, part: str, call) -> None:
    outcome = outcome_of(call, seconds=5 if part != "still running" else 0.3)
    assert outcome.kind == kind, outcome
    assert part in outcome.text


def test_value_arrives() -> None:
    assert outcome_of(lambda: [1, 2]).value == [1, 2]
    assert outcome_of(lambda: sys.stdout).kind == SUCCESS  # which cannot be pickled


def test_sentence_must_name_the_file() -> None:
    assert_clear(refuse, "a.json: wrong", names="a.json")
    with pytest.raises(AssertionError, match=r"b\.json"):
        assert_clear(refuse, "a.json: wrong", names="b.json")


def test_mutations_leave_the_original_alone(profile) -> None:
    before, seen = copy.deepcopy(DOCUMENT), set()

    @profile
    @given(mutated(DOCUMENT))
    def differs(document) -> None:
        seen.add(repr(document))

    differs()
    assert before == DOCUMENT
    assert len(seen) > 20


def test_damaged_files(profile) -> None:
    seen = set()

    @profile
    @given(damaged(bytes(range(100))))
    def differs(content: bytes) -> None:
        seen.add(content)

    differs()
    assert len(seen) > 20
