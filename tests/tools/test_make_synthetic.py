"""The command line: makes, does nothing the second time, refuses, explains itself quickly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SMALL = ("--train", "2", "--val", "1", "--size", "64x48", "--workers", "1")


def run(repository: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(repository / "tools" / "make_synthetic.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository)


def test_make_then_nothing_to_do_then_refuse(repository: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    made = run(repository, "coco", out, "--layouts", "coco_panoptic", "ade20k", *SMALL)
    assert made.returncode == 0, made.stderr
    assert "2 train and 1 val images in" in made.stdout
    recipe = json.loads((tmp_path / "data" / "synthetic.json").read_text())["recipe"]
    assert recipe["layouts"] == ["coco", "coco_panoptic", "ade20k"]
    assert recipe["size"] == [64, 48]
    again = run(repository, "coco", out, "--layouts", "coco_panoptic", "ade20k", *SMALL)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    refused = run(repository, "coco", out, *SMALL)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "holds a synthetic data set of another recipe" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bad_size_is_named(repository: Path, tmp_path: Path) -> None:
    result = run(repository, "coco", str(tmp_path / "data"), "--size", "320")
    assert result.returncode == 2
    assert "--size 320: images have a width and a height" in result.stderr


def test_help_needs_neither_torch_nor_open3d(repository: Path) -> None:
    tool = str(repository / "tools" / "make_synthetic.py")
    code = (
        "import runpy, sys\n"
        "sys.argv = ['make_synthetic.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({tool!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    print([n for n in ('torch', 'open3d', 'mmengine', 'numpy') if n in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert "usage: make_synthetic.py" in result.stdout
    assert result.stdout.strip().endswith("[]")
