"""A package or a system library that is missing is named together with the command that brings it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from dense3d.errors import MissingDependencyError
from dense3d.optional import require


def failing(error: Exception) -> Callable:
    def import_module(name: str) -> None:
        raise error

    return import_module


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("gsplat", r"pip install 'dense3d\[splats\]'"),
        ("open3d", r"pip install 'dense3d\[pointcloud\]'"),
        ("scipy", "pip install scipy"),
    ],
)
def test_missing_package(monkeypatch, name, command):
    monkeypatch.setattr(importlib, "import_module", failing(ModuleNotFoundError(name=name)))
    with pytest.raises(
        MissingDependencyError, match=rf"'{name}' is not installed \(needed for x\): {command}"
    ):
        require(name, "x")


@pytest.mark.parametrize("kind", [OSError, ImportError])
@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libGL.so.1", "apt-get install libgl1"),
        ("libodd.so.7", "the system package that provides libodd.so.7"),
    ],
)
def test_missing_system_library(monkeypatch, kind, library, remedy):
    error = kind(f"{library}: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(importlib, "import_module", failing(error))
    with pytest.raises(MissingDependencyError, match=rf"scipy needs the system library {library}.*{remedy}"):
        require("scipy")


def test_other_failures_of_a_package_keep_their_error(monkeypatch):
    for error in (ModuleNotFoundError(name="another"), ImportError("cannot import name 'x'")):
        monkeypatch.setattr(importlib, "import_module", failing(error))
        with pytest.raises(type(error)) as caught:
            require("scipy")
        assert caught.value is error


def test_a_package_that_is_there_is_imported():
    assert require("json.decoder").__name__ == "json.decoder"
