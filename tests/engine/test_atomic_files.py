"""Files appear whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from dense3d.errors import Dense3dError
from dense3d.files import DiskFullError, atomic_write, remove_stale_temporaries


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def test_content_and_folder(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_write(target, "w") as file:
        file.write("é")
    assert target.read_text(encoding="utf-8") == "é"
    assert names(target.parent) == ["file.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="mine"), atomic_write(target) as file:
        file.write(b"half of the n")
        raise ValueError("mine")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_nothing_is_seen_before_the_end(tmp_path):
    target = tmp_path / "file.bin"
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert not target.exists()
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk(tmp_path, monkeypatch):
    """The kernel's own error, from a device that has no space."""
    monkeypatch.setattr("dense3d.files.secrets.token_hex", lambda size: "0" * 2 * size)
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    (tmp_path / f".file.bin.{os.getpid()}.00000000.tmp").symlink_to("/dev/full")
    message = f"no space is left on the disk for {target}"
    with pytest.raises(DiskFullError, match=message) as caught, atomic_write(target) as file:
        file.write(b"x" * 100_000)
    assert isinstance(caught.value, Dense3dError)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def _write_and_die(target) -> None:
    with atomic_write(target) as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_killed_while_writing(tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    process = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(target,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name != "file.bin"]
    assert len(left) == 1
    assert [path.name for path in remove_stale_temporaries(tmp_path)] == left
    assert names(tmp_path) == ["file.bin"]


def test_temporaries_of_a_living_process_stay(tmp_path):
    with atomic_write(tmp_path / "file.bin") as file:
        file.write(b"new")
        assert remove_stale_temporaries(tmp_path) == []
    assert names(tmp_path) == ["file.bin"]


def test_devices_and_pipes_are_written_to_and_stay(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe, "w") as file:
        file.write("text")
    assert os.read(reader, 9) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_folder_is_named_itself(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"'{tmp_path}'"), atomic_write(tmp_path) as file:
        file.write(b"text")
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))
