"""Installations that cannot be written and homes that are none: containers and clusters.

The superuser may write anywhere, so nothing here goes by permission bits: a path below a regular file can
be made by nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dense3d
from dense3d.cache_folders import CACHES, prepare_cache_folders

VARIABLES = (*CACHES, "XDG_CACHE_HOME")
KERNELS = (
    "dense3d.ops.deformable_attention_kernels",
    "dense3d.ops.rotated_kernels",
    "dense3d.ops._suppression",
    "dense3d.evaluation.kitti._kernels",
    "dense3d.datasets.panoptic.compiled_id_map",
)


@pytest.fixture
def environment(monkeypatch):
    """None of the variables is set, and none stays set."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def named() -> dict[str, str]:
    return {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}


def test_a_home_that_can_be_written_stays(environment, tmp_path):
    environment.setenv("HOME", str(tmp_path))
    prepare_cache_folders()
    assert named() == {}


def test_a_home_that_is_none_gets_a_temporary_folder(environment, tmp_path):
    environment.setenv("HOME", os.devnull)
    environment.setenv("TORCH_HOME", str(tmp_path))
    prepare_cache_folders()
    folders = named()
    assert folders.keys() == {*CACHES}
    assert folders.pop("TORCH_HOME") == str(tmp_path)
    for folder in folders.values():
        Path(folder).mkdir(parents=True)


def test_a_library_that_has_a_folder_keeps_it(environment, tmp_path):
    home = tmp_path / "home"
    (home / ".cache" / "torch").mkdir(parents=True)
    environment.setenv("HOME", str(home))
    environment.setattr(os, "access", lambda *_args, **_options: False)
    prepare_cache_folders()
    assert named().keys() == {*CACHES} - {"TORCH_HOME"}


def test_without_any_home_nothing_is_named_after_it(environment):
    environment.setattr(os.path, "expanduser", lambda path: path)
    prepare_cache_folders()
    assert named().keys() == {*VARIABLES}


@pytest.fixture(scope="module")
def installation(tmp_path_factory) -> Path:
    """The package in a folder of its own, none of whose modules can have a ``__pycache__``."""
    site = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__")
    package = Path(dense3d.__file__).parent
    shutil.copytree(package, site / "dense3d", ignore=ignored)
    if (package.parent / "configs").is_dir():  # a checkout; in a wheel they lie inside of the package
        shutil.copytree(package.parent / "configs", site / "configs", ignore=ignored)
    for folder in {file.parent for file in (site / "dense3d").rglob("*.py")}:
        (folder / "__pycache__").write_text("a file")
    return site


def run(site: Path, work_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "HOME")}
    kept |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=work_dir, env=kept, capture_output=True, text=True, timeout=600
    )


NO_HOME = {"HOME": os.devnull, "NUMBA_CACHE_DIR": f"{os.devnull}/numba", "XDG_CACHE_HOME": f"{os.devnull}/x"}


def test_every_compiled_module_imports_and_computes(installation, tmp_path):
    code = f"""
import importlib, dense3d, torch
print(dense3d.__file__)
for name in {KERNELS}:
    importlib.import_module(name)
box = torch.tensor([[0.0, 0, 4, 2, 0.1]])
print(dense3d.ops.box_iou_rotated(box, box).item())
import matplotlib.pyplot
"""
    done = run(installation, tmp_path, "-c", "import dense3d.ops" + code, **NO_HOME)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(installation / "dense3d" / "__init__.py"), "1.0"]
    assert list(tmp_path.iterdir()) == []


def test_without_any_home_no_folder_is_made_where_it_runs(installation, tmp_path):
    """``os.path.expanduser`` returns "~" itself for a user without an entry."""
    code = "import os; os.path.expanduser = lambda path: path\n" + "".join(f"import {k}\n" for k in KERNELS)
    done = run(installation, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["--help"], ["env"], ["configs"], ["eval-kitti", "--help"]])
def test_commands_run(installation, tmp_path, command):
    done = run(installation, tmp_path, "-m", "dense3d", *command, **NO_HOME)
    assert done.returncode == 0, done.stderr
    assert (done.stderr, list(tmp_path.iterdir())) == ("", [])


def test_weights_that_cannot_be_kept_are_refused(monkeypatch):
    from dense3d.engine import checkpoint
    from dense3d.errors import CheckpointError

    monkeypatch.setenv("TORCH_HOME", f"{os.devnull}/torch")
    with pytest.raises(CheckpointError, match=r"the folder /dev/null\S* cannot be written: set TORCH_HOME"):
        checkpoint._load_url("https://example.org/weights.pth")
