"""Configs by name: what a word means, inheritance from dense3d, and sentences for what is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.config import load_config, resolve_config, shipped
from dense3d.config.shipped import config_name, shipped_configs, shipped_folder
from dense3d.errors import ConfigError

DINO = "synthetic/dino_r18_synthetic-coco"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "word", [f"dense3d::{DINO}.py", "dino_r18_synthetic-coco", "dino_r18_synthetic-coco.py"]
)
def test_names_of_shipped_configs(empty, word):
    assert resolve_config(word) == shipped_folder() / f"{DINO}.py"


def test_a_file_comes_before_a_name(empty):
    (empty / "dino_r18_synthetic-coco").mkdir()
    file = empty / "dino_r18_synthetic-coco.py"
    file.write_text("x = 1\n")
    assert resolve_config("dino_r18_synthetic-coco.py").resolve() == file
    assert resolve_config("dino_r18_synthetic-coco") == shipped_folder() / f"{DINO}.py"
    assert resolve_config(file) == file


def test_a_config_of_ones_own_inherits_from_a_shipped_one(empty):
    file = empty / "mine.py"
    file.write_text(f"_base_ = 'dense3d::{DINO}.py'\ntrain_cfg = dict(max_epochs=2)\n")
    mine, base = load_config(file), load_config("dino_r18_synthetic-coco")
    assert mine.train_cfg.max_epochs == 2
    assert mine.model == base.model
    assert mine.default_scope == base.default_scope == "dense3d"
    assert mine.filename == str(file)


def test_several_bases_of_several_libraries(empty):
    file = empty / "mine.py"
    file.write_text(
        "_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py',\n"
        "          'dense3d::_base_/datasets/synthetic_coco.py']\n"
    )
    cfg = load_config(file)
    assert cfg.model._scope_ == "mmdet"
    assert "_scope_" not in cfg.train_dataloader


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("dino_r18_synthetic-cocoo", r"neither a file nor .*; did you mean 'dino_r18_synthetic-coco'"),
        ("dino_r18_synthetic-cocoo.py", r"neither a file nor .*; did you mean 'dino_r18_synthetic-coco'"),
        ("mmdet::dino/x.py", "another library's: write a config with _base_ = 'mmdet::dino/x.py'"),
        ("qqq", "qqq is neither a file nor the name of a config; dense3d configs lists all"),
        ("dense3d::synthetic/dino_r18.py", "dense3d has no config 'synthetic/dino_r18.py'; did you mean"),
        ("dense3d::synthetic/dino_r18_synthetic-coco", "did you mean 'synthetic/dino_r18_synthetic-coco.py'"),
        ("configs/dino_r18_synthetic-cocoo.py", "does not exist; did you mean 'dino_r18_synthetic-coco'"),
        ("here/there.txt", "config file here/there.txt does not exist; configs are Python files"),
    ],
)
def test_unknown_names(empty, word, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_config(word)
    assert "\n" not in str(caught.value)


def test_an_unknown_base_names_file_line_and_the_nearest(empty):
    (empty / "mine.py").write_text("x = 1\n_base_ = 'dense3d::synthetic/dino_r18_synthetic-cocoo.py'\n")
    with pytest.raises(ConfigError, match=r"mine.py:2: dense3d has no config .*-coco.py'"):
        load_config("mine.py")


def test_a_name_in_two_folders_is_asked_back(empty, monkeypatch):
    both = {"a/x": Path("a/x.py"), "b/x": Path("b/x.py")}
    monkeypatch.setattr(shipped, "shipped_configs", lambda: both)
    with pytest.raises(
        ConfigError, match=r"2 configs have the name 'x': write dense3d::a/x.py or dense3d::b/x.py"
    ):
        resolve_config("x")


def test_what_one_types_for_a_config(empty, repository, monkeypatch):
    assert config_name(shipped_folder() / f"{DINO}.py") == "dino_r18_synthetic-coco"
    assert config_name(empty / "mine.py") == "mine.py"
    assert config_name("/elsewhere/mine.py") == "/elsewhere/mine.py"
    monkeypatch.chdir(repository)
    assert config_name(shipped_folder() / f"{DINO}.py") == f"configs/{DINO}.py"


def test_no_base_is_a_config():
    assert len(shipped_configs()) > 100
    assert not [name for name in shipped_configs() if name.startswith("_")]
