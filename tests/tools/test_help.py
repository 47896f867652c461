"""Every command line explains itself at once: no torch before the arguments are parsed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = sorted((Path(__file__).resolve().parents[2] / "tools").glob("*.py"))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_help_loads_nothing_heavy(tool):
    code = f"""
import runpy, sys
sys.argv = [{str(tool)!r}, "--help"]
try:
    runpy.run_path({str(tool)!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in ("torch", "mmengine", "mmdet", "numba", "open3d", "cv2") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
