"""Compiled functions: cached where that is possible; a cache that cannot be used costs time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import caching, config

SOURCE = """
from dense3d.compiled import njit

@njit(nogil=True)
def doubled(x):
    return 2 * x
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Imports the source as a module of its own, again and again, with a cache folder of its own."""
    (tmp_path / "source.py").write_text(SOURCE)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))

    def again() -> ModuleType:
        spec = importlib.util.spec_from_file_location("source", tmp_path / "source.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return again


def cached(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_second_process_finds_what_the_first_compiled(imported, tmp_path):
    assert imported().doubled(2) == 4
    assert {path.suffix for path in cached(tmp_path)} == {".nbi", ".nbc"}
    again = imported()
    assert again.doubled(3) == 6
    assert sum(again.doubled.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("content", [b"", b"no pickle at all"])
def test_a_damaged_cache_is_passed_over(imported, tmp_path, content):
    imported().doubled(2)
    for path in cached(tmp_path):
        path.write_bytes(content)
    assert imported().doubled(3) == 6


def test_a_disk_that_is_full_is_no_error(imported, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert imported().doubled(2) == 4


def test_no_folder_at_all_is_no_error(imported, monkeypatch):
    def none(_self, function):
        raise RuntimeError(f"cannot cache function {function!r}: no locator available")

    monkeypatch.setattr(caching.CacheImpl, "__init__", none)
    assert imported().doubled(2) == 4
