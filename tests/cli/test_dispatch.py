"""The command ``dense3d``: it lists, names the nearest command, and explains each without torch."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dense3d
from dense3d.cli import dispatch
from dense3d.cli.common import command
from dense3d.cli.dispatch import COMMANDS, PROOFS, main

HEAVY = ("torch", "mmengine", "mmdet", "numba", "open3d", "cv2", "numpy")
MODULES = {path.stem for path in Path(dispatch.__file__).parent.glob("[a-z]*.py")} - {"dispatch", "common"}


def python(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=600, **options)


def test_every_module_is_listed():
    assert sorted(name.replace("-", "_") for name in COMMANDS) == sorted(MODULES)


def test_help_lists_every_command_with_one_line(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed[4:])) <= 80
    lines = {line.split()[0]: line for line in printed if line.startswith("  ")}
    for name in COMMANDS:
        summary = importlib.import_module(f"dense3d.cli.{name.replace('-', '_')}").__doc__
        assert lines[name].split(maxsplit=1)[1] == summary.split("\n")[0]
    assert set(PROOFS) <= set(lines)


def test_no_help_imports_anything_heavy():
    code = (
        "import contextlib, io, sys\n"
        "from dense3d.cli.dispatch import COMMANDS, main\n"
        "for words in [['--help'], *([name, '--help'] for name in COMMANDS)]:\n"
        "    out = io.StringIO()\n"
        "    try:\n"
        "        with contextlib.redirect_stdout(out): main(words)\n"
        "    except SystemExit as end: assert not end.code\n"
        "    assert out.getvalue().startswith('usage: dense3d'), words\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = python("-c", code)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("word", "nearest"), [("trian", "train"), ("check_data", "check-data"), ("verify-goldn", "verify-golden")]
)
def test_a_misspelt_command_names_the_nearest(capsys, word, nearest):
    assert main([word, "x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is no command {word!r}; did you mean {nearest!r}?")
    assert error.count("\n") == 1


def test_a_word_like_no_command(capsys):
    assert main(["qqq"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'qqq'; dense3d --help lists all\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"dense3d {dense3d.__version__}\n"


def test_errors_have_status_2_and_are_one_sentence(capsys, tmp_path):
    assert main(["convert", "resnet", str(tmp_path / "no.pth"), str(tmp_path / "out.pth")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "no.pth" in error and error.count("\n") == 1


def test_a_second_double_dash_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        main(["eval-kitti", "--", "labels", "--"])
    assert end.value.code == 2 and "-- stands once" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 8 GB")])
def test_too_little_memory_is_a_sentence(error, capsys):
    def run() -> None:
        raise error

    assert command(run)() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: memory is not enough") and said.count("\n") == 1


def test_other_errors_are_not_hidden():
    def run() -> None:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="of ours"):
        command(run)()


def test_python_dash_m_is_the_same_command(tmp_path, repository):
    done = python("-m", "dense3d", "convert", "--help", cwd=repository)
    assert done.stdout.startswith("usage: dense3d convert"), done.stderr


def test_proofs_of_a_checkout_run_its_tools(capsys, tmp_path):
    assert main(["verify-golden", "--help"]) == 0
    assert "KIT [KIT ...]" in capsys.readouterr().out
    assert main(["verify-golden", str(tmp_path / "no-kit")]) == 1
    assert "no-kit is not a folder" in capsys.readouterr().err


def test_proofs_without_a_checkout_say_where_they_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(dispatch, "TOOLS", tmp_path / "tools")
    assert main(["verify-golden", "kit"]) == 2
    assert "use it in a checkout" in capsys.readouterr().err
    assert main([]) == 0
    assert "verify-golden" not in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(repository):
    code = f"{sys.executable} -m dense3d --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=repository)
    assert "Traceback" not in done.stderr
