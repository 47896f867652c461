"""What ends a command line: a sentence for what the user can mend, a traceback for bugs."""

from __future__ import annotations

import errno

import pytest

from dense3d.cli.common import command
from dense3d.errors import DataError


@pytest.fixture(autouse=True)
def no_tracebacks_asked_for(monkeypatch):
    monkeypatch.delenv("DENSE3D_TRACEBACK", raising=False)


def raising(error: BaseException):
    @command
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (DataError("a.json: is empty"), 2, "error: a.json: is empty\n"),
        (OSError(errno.ENOSPC, "full", "run.log"), 2, "error: no space is left on the disk for run.log: "),
        (OSError(errno.EDQUOT, "quota"), 2, "error: no space is left on the disk: free some"),
        (
            ImportError("libxcb.so.1: cannot open shared object file", name="cv2"),
            2,
            "error: cv2 needs the system library libxcb.so.1, which is missing; "
            "pip install --force-reinstall --no-deps opencv-python-headless",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/run"),
            2,
            "error: /dev/null/run: a part of this path is no folder; name another place",
        ),
        (PermissionError(errno.EACCES, "denied", "a.log"), 2, "error: a.log: you have no permission for it"),
        (OSError(errno.EROFS, "read-only", "b"), 2, "error: b: the disk can only be read"),
        (OSError(errno.ENAMETOOLONG, "too long", "c"), 2, "error: c: the name is too long"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_one_sentence_and_a_status(capsys, error, status, sentence):
    assert raising(error)() == status
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1
    assert not printed.out


@pytest.mark.parametrize(
    "error",
    [TypeError("a bug"), PermissionError(errno.EACCES, "denied"), ImportError("cannot import name 'x'")],
)
def test_other_errors_are_not_hidden(error):
    with pytest.raises(type(error)):
        raising(error)()


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("DENSE3D_TRACEBACK", "1")
    with pytest.raises(DataError):
        raising(DataError("a"))()


def test_status_of_success():
    assert command(lambda: None)() == 0
    assert command(lambda: 1)() == 1
