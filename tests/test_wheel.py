"""The wheel works alone: built, installed, and used from an empty folder without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

NAME = "dino_r18_synthetic-coco"


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    """The wheel, built without a network by the build backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=repository)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder into which it is installed, without dependencies."""
    target = tmp_path_factory.mktemp("target")
    places = dict.fromkeys(("purelib", "platlib", "data", "headers"), str(target))
    destination = SchemeDictionaryDestination(
        {**places, "scripts": str(target / "bin")}, interpreter=sys.executable, script_kind="posix"
    )
    with WheelFile.open(wheel) as source:
        install(source, destination, additional_metadata={})
    return target


def python(installed: Path, folder: Path, *words: str) -> str:
    """Output of Python in ``folder``, with the installed wheel before everything else."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=600, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_configs_and_licence_but_no_tests(wheel, repository):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    configs = {path.relative_to(repository).as_posix() for path in (repository / "configs").rglob("*.py")}
    assert {f"dense3d/{name}" for name in configs | {"configs/published.json", "py.typed"}} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"dense3d"}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name or "/golden/" in name]


def test_wheel_holds_the_page_of_the_transfer_function_tool(wheel, repository):
    folder = "dense3d/transfer_function/web"
    with zipfile.ZipFile(wheel) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist() if one.filename.startswith(folder)}
    assert set(sizes) == {path.relative_to(repository).as_posix() for path in (repository / folder).iterdir()}
    assert {f"{folder}/index.html", f"{folder}/main.js", f"{folder}/style.css"} <= set(sizes)
    assert sum(sizes.values()) < 250_000


def test_it_is_the_wheel_that_answers(installed, tmp_path):
    found = python(installed, tmp_path, "-c", "import dense3d; print(dense3d.__file__)").strip()
    assert Path(found).is_relative_to(installed)


def test_help_and_version(installed, tmp_path):
    assert "make-synthetic" in python(installed, tmp_path, "-m", "dense3d", "--help")
    assert "verify-golden" not in python(installed, tmp_path, "-m", "dense3d", "--help")
    assert python(installed, tmp_path, "-m", "dense3d", "train", "--help").startswith("usage: dense3d train")
    assert python(installed, tmp_path, "-m", "dense3d", "--version").startswith("dense3d ")


def test_the_list(installed, tmp_path, repository):
    listed = json.loads(python(installed, tmp_path, "-m", "dense3d", "configs", "--json"))
    sources = (path for path in (repository / "configs").rglob("*.py") if "_base_" not in path.parts)
    assert sorted(config["name"] for config in listed) == sorted(path.stem for path in sources)


def test_configs_resolve_and_load(installed, tmp_path):
    (tmp_path / "mine.py").write_text(f"_base_ = 'dense3d::synthetic/{NAME}.py'\n")
    words = (NAME, f"dense3d::synthetic/{NAME}.py", "mine.py")
    code = (
        "from dense3d.config import load_config, resolve_config\n"
        "from dense3d.config.sources import read_sources\n"
        f"for word in {words}:\n"
        "    print(load_config(word).model.type, *(s.path for s in read_sources(resolve_config(word))))"
    )
    lines = python(installed, tmp_path, "-c", code).splitlines()
    for line in lines[-len(words) :]:
        kind, *files = line.split()
        assert kind == "DINO"
        assert str(installed / f"dense3d/configs/synthetic/{NAME}.py") in files


def test_the_script_is_the_command(installed, tmp_path):
    assert NAME in python(installed, tmp_path, str(installed / "bin/dense3d"), "configs", "dino", "synthetic")
