"""Places for results are looked at before any work is done."""

from __future__ import annotations

import os

import pytest

from dense3d.apis.comparison import compare_runs
from dense3d.cli.compare_runs import run
from dense3d.errors import ConfigError
from dense3d.files import require_writable_file, require_writable_folder


def test_folders(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for sound in (tmp_path, tmp_path / "new/deeper"):
        require_writable_folder(sound)
    assert not (tmp_path / "new").exists()
    for faulty in ("file", "file/below", "link", "link/below"):
        with pytest.raises(ConfigError, match=rf"{faulty} (is no folder|cannot be a folder, since)"):
            require_writable_folder(tmp_path / faulty)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(ConfigError, match="locked cannot be written to"):
            require_writable_folder(tmp_path / "locked/new")


def test_files(tmp_path):
    require_writable_file(tmp_path / "new/plot.png")
    require_writable_file("plot.png")
    with pytest.raises(ConfigError, match="is a folder: name a file"):
        require_writable_file(tmp_path)
    with pytest.raises(ConfigError, match="is no folder"):
        require_writable_file("/dev/null/plot.png")


def test_runs_are_compared_into_a_file_and_by_different_names(tmp_path):
    from types import SimpleNamespace

    with pytest.raises(ConfigError, match="is a folder: name a file"):
        compare_runs({"a": [tmp_path]}, "coco/bbox_mAP", tmp_path)
    words = SimpleNamespace(groups=["a=x", "a=y"], metric="m", out=None)
    with pytest.raises(ConfigError, match="two groups are named 'a'"):
        run(words)
