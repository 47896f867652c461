"""``dense3d env``: all sections, and lines instead of errors for what is broken or missing."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import dense3d
from dense3d.apis import environment
from dense3d.cli.dispatch import main


@pytest.fixture
def few_libraries(monkeypatch):
    """One that is here at once, one that breaks, and one that is not installed."""

    def require(name):
        if name == "mmcv":
            raise ImportError("libx.so.1: cannot open shared object file\nmore")
        return SimpleNamespace(__version__="1.2.3")

    monkeypatch.setattr(environment, "LIBRARIES", ("numpy", "mmcv", "no_such_module"))
    monkeypatch.setattr(environment, "EXTRAS", {"scipy": "maths", "none_such": "nerf"})
    monkeypatch.setattr(environment, "require", require)


def test_all_sections(few_libraries, capsys):
    assert main(["env"]) == 0
    sections = capsys.readouterr().out.split("\n\n")
    assert [s.split("\n")[0] for s in sections if s] == [
        "dense3d:", "libraries:", "devices:", "extras:", "operators:",
    ]  # fmt: skip
    own, libraries, devices, extras, operators = (section.split("\n") for section in sections[:5])
    assert own[1].startswith(f"  {dense3d.__version__} in ")
    assert libraries[1].split()[:4] == ["numpy", "1.2.3", "from", "numpy"]
    assert "threads in torch" in devices[1]
    assert [line.split()[:3] for line in extras[1:]] == [
        ["maths", "scipy", "1.2.3"],
        ["nerf", "none_such", "not"],
    ]
    assert extras[2].endswith("not installed: pip install 'dense3d[nerf]'")
    assert operators[1].split() == ["operator", "device", "backend", "status", "reason"]
    assert any(line.split()[:2] == ["nms", "cpu"] and "used" in line for line in operators)


def test_a_library_that_breaks_is_a_line(few_libraries):
    text = "\n".join(environment.describe_environment())
    (line,) = (line for line in text.splitlines() if line.strip().startswith("mmcv"))
    assert "does not import from onedl-mmcv " in line
    assert line.endswith("ImportError: libx.so.1: cannot open shared object file")
    assert "  no_such_module not installed\n" in text


def test_a_section_that_breaks_is_a_line(few_libraries, monkeypatch):
    def broken():
        raise OSError("torch: cannot load library")

    monkeypatch.setattr(environment, "_device_lines", broken)
    monkeypatch.setattr(environment, "_operator_lines", broken)
    text = "\n".join(environment.describe_environment())
    assert text.count("  unknown: OSError: torch: cannot load library") == 2
    assert "extras:" in text


def test_commit_of_a_checkout(tmp_path):
    assert environment._commit(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert environment._commit(tmp_path) == ", commit unknown"
    (tmp_path / "a").write_text("1")
    for words in (["add", "a"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    assert environment._commit(tmp_path) == f", commit {head}"
    (tmp_path / "a").write_text("2")
    assert environment._commit(tmp_path) == f", commit {head} and changes"


def test_without_a_working_torch_the_rest_is_told(tmp_path, repository):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise ImportError('libcudart.so.12: cannot open')\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{repository}"}
    command = [sys.executable, "-m", "dense3d", "env"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    assert "does not import from torch" in done.stdout
    assert "libcudart.so.12: cannot open" in done.stdout
    assert "\n  numpy " in done.stdout
    assert "devices:\n  unknown: " in done.stdout
    assert "operators:\n  unknown: " in done.stdout
    assert "Traceback" not in done.stderr
