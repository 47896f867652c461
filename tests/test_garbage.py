"""Garbage collection that is put off: as before afterwards, and nothing is kept."""

from __future__ import annotations

import gc
import weakref

import pytest

from dense3d.garbage import paused_collection


class Knot:
    def __init__(self) -> None:
        self.me = self


def test_what_became_garbage_inside_is_collected_afterwards():
    with paused_collection():
        knot = weakref.ref(Knot())
        assert knot() is not None
    assert gc.isenabled()
    gc.collect()
    assert knot() is None


def test_it_goes_on_after_an_error_and_stays_off_where_it_was_off():
    with pytest.raises(KeyError), paused_collection():
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with paused_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_the_program_froze_stays_frozen():
    gc.freeze()
    try:
        with paused_collection():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
