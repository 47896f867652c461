"""The pages: examples of docs/adding.md run as they stand, and the floor plan has no circle."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python(?: title=\"(?P<file>[^\"]+)\")?\n(?P<code>.*?)^```$", re.M | re.S)


def blocks() -> list[tuple[str | None, str]]:
    """File to write to, or None, and code of every Python block in docs/adding.md."""
    page = (REPOSITORY / "docs" / "adding.md").read_text(encoding="utf-8")
    return [(match["file"], match["code"]) for match in BLOCK.finditer(page)]


def execute(path: Path, folder: Path) -> None:
    """Run a Python file from ``folder``."""
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", range(sum(file is None for file, _ in blocks())))
def test_example_runs(number, tmp_path):
    code = [code for file, code in blocks() if file is None][number]
    (tmp_path / "example.py").write_text(code)
    execute(tmp_path / "example.py", tmp_path)


def test_project_runs(tmp_path):
    files = [(tmp_path / file, code) for file, code in blocks() if file]
    for path, code in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    execute(files[-1][0], tmp_path)


def test_examples_are_short():
    for file, code in blocks():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 40, (file, len(lines))
        ast.parse(code)


def test_no_room_of_the_floor_plan_stands_on_itself():
    sys.path.insert(0, str(REPOSITORY / "docs"))
    try:
        import floor_plan
    finally:
        sys.path.pop(0)
    plan, lines = floor_plan.survey(REPOSITORY)
    level = floor_plan.floors(plan)  # raises for a circle
    assert set(level) == set(lines)
    with pytest.raises(ValueError, match="a -> b -> a"):
        floor_plan.floors({"a": {"b"}, "b": {"a"}})
