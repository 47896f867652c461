"""Loading configs: inheritance, scopes, options, and one sentence with file and line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.config import apply_options, load_config, parse_options
from dense3d.errors import ConfigError

DINO = "_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'\n"
SEGFORMER = "_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'\n"


def write(folder: Path, text: str, name: str = "config.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_inherits_from_mmdet_and_keeps_its_scope(tmp_path: Path) -> None:
    cfg = load_config(write(tmp_path, DINO + "model = dict(num_queries=300)\n"))
    assert cfg.model.num_queries == 300
    assert cfg.model.type == "DINO"
    assert cfg.model._scope_ == "mmdet"
    assert cfg.default_scope == "dense3d"  # for what the child adds itself


def test_inherits_from_mmseg_whose_distribution_has_another_name(tmp_path: Path) -> None:
    cfg = load_config(write(tmp_path, SEGFORMER))
    assert cfg.model._scope_ == "mmseg"


def test_own_default_scope_is_kept(tmp_path: Path) -> None:
    write(tmp_path, "default_scope = 'mmdet'\n", "base.py")
    assert load_config(write(tmp_path, "_base_ = './base.py'\n")).default_scope == "mmdet"


def test_prefix_marks_the_scope_of_what_lies_inside(tmp_path: Path) -> None:
    text = (
        "model = dict(type='mmdet.DINO', neck=dict(type='ChannelMapper', norm_cfg=dict(type='mmdet.X')),\n"
        "             backbone=dict(type='dense3d.TimmBackbone', extra=[dict(type='mmseg.Y')]))\n"
        "hooks = [dict(type='mmdet.Hook'), dict(type='EMAHook')]\n"
    )
    cfg = load_config(write(tmp_path, text))
    assert (cfg.model.type, cfg.model._scope_) == ("DINO", "mmdet")
    assert "_scope_" not in cfg.model.neck
    assert "_scope_" not in cfg.model.neck.norm_cfg  # mmcv passes its keys on to the layer
    assert cfg.model.backbone._scope_ == "dense3d"
    assert cfg.model.backbone.extra[0]._scope_ == "mmseg"
    assert cfg.hooks[0]._scope_ == "mmdet"
    assert "_scope_" not in cfg.hooks[1]


def test_prefix_finds_what_the_library_inherits(tmp_path: Path) -> None:
    """``LoadImageFromFile`` is mmcv's; mmengine finds it as mmdet's only without the prefix."""
    from mmengine.registry import DefaultScope

    from dense3d.registry import TRANSFORMS

    text = "a = dict(type='mmdet.LoadImageFromFile')\nb = dict(type='mmdet.X', c=dict(type='mmdet.Resize'))\n"
    cfg = load_config(write(tmp_path, text))
    assert cfg.b.c == {"type": "Resize"}
    with DefaultScope.overwrite_default_scope("dense3d"):
        assert type(TRANSFORMS.build(cfg.a)).__name__ == "LoadImageFromFile"


def test_base_variables_survive(tmp_path: Path) -> None:
    write(tmp_path, "size = 320\nnested = dict(depth=3)\n", "base.py")
    cfg = load_config(write(tmp_path, "_base_ = ['base.py']\na = {{_base_.size}}\nb = _base_.nested.depth\n"))
    assert (cfg.a, cfg.b) == (320, 3)


def test_variables_with_an_underscore_are_no_settings(tmp_path: Path) -> None:
    write(tmp_path, "_small = dict(depth=2, widths=[4, 8])\nkept = 1\n", "base.py")
    text = "_base_ = './base.py'\n_twice = 2\nmodel = dict(**_base_._small, number=_twice)\n"
    cfg = load_config(write(tmp_path, text))
    assert cfg.model == dict(depth=2, widths=[4, 8], number=2)
    assert set(cfg) == {"model", "kept", "default_scope"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a = dict(\nb = (]\n", ["config.py:2", "syntax error"]),
        ("_base_ = 'basic.py'\n", ["config.py:1", "basic.py does not exist", "base.py"]),
        ("_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_cocoo.py'\n", ["12e_coco.py'", "config.py:1"]),
        ("_base_ = 'mmdett::x.py'\n", ["'mmdett'", "'mmdet'"]),
        ("_base_ = base\n", ["config.py:1", "must be a string"]),
        ("_base_ = 'config.py'\n", ["inherits from itself"]),
        ("x = 1\ny = dict(a=undefined)\n", ["config.py:2", "'undefined' is not defined"]),
        ("_base_ = ['base.py', 'twin.py']\n", ["size"]),
        ("custom_imports = dict(imports=['no_such_module_x'])\n", ["no_such_module_x"]),
    ],
)
def test_faults_of_files(tmp_path: Path, text: str, parts: list[str]) -> None:
    write(tmp_path, "size = 320\n", "base.py")
    write(tmp_path, "size = 640\n", "twin.py")
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "x = 1\n", "detr_r50_coco.py")
    with pytest.raises(ConfigError, match=r"does not exist; did you mean '.*detr_r50_coco.py'"):
        load_config(tmp_path / "detr_r50_cocoo.py")


def test_options_have_types() -> None:
    words = ["a.b=1", "c=[1,2]", "d='x'", "e=1e-4", "f=(3,4)", "g=None", "h=true", "i=[(1,2),(3,4)]", "j=a=b"]
    assert parse_options(words) == {
        "a.b": 1, "c": [1, 2], "d": "x", "e": 1e-4, "f": (3, 4), "g": None, "h": True,
        "i": [(1, 2), (3, 4)], "j": "a=b",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["abc", "=3", "a=[1,(2]"])
def test_malformed_option(word: str) -> None:
    with pytest.raises(ConfigError, match="option"):
        parse_options([word])


def test_options_reach_lists_and_add_leaves(tmp_path: Path) -> None:
    text = "pipeline = [dict(type='A'), dict(type='B', size=1)]\nmodel = dict(backbone=dict(depth=18))\n"
    options = {"pipeline.1.size": 2, "model.backbone.width": 3, "resume": True}
    cfg = load_config(write(tmp_path, text), options)
    assert cfg.pipeline == [{"type": "A"}, {"type": "B", "size": 2}]
    assert cfg.model.backbone == {"depth": 18, "width": 3}
    assert cfg.resume is True


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("modle.backbone.depth", ["'modle'", "'model'"]),
        ("model.backbon.depth", ["model has no key 'backbon'", "'backbone'"]),
        ("model.backbone.depth.x", ["value 18"]),
        ("pipeline.2.size", ["list of 2 items"]),
        ("pipelin", ["'pipeline'"]),
    ],
)
def test_misspelt_options(tmp_path: Path, option: str, parts: list[str]) -> None:
    text = "pipeline = [dict(type='A'), dict(type='B')]\nmodel = dict(backbone=dict(depth=18))\n"
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), {option: 1})
    for part in parts:
        assert part in str(caught.value)


def test_plus_adds_whatever_it_resembles(tmp_path: Path) -> None:
    cfg = load_config(write(tmp_path, "model = dict(a=1)\n"))
    apply_options(cfg, {"+models.b": 2})
    assert cfg.models.b == 2


def test_the_text_of_a_config_loads_as_the_same_config(tmp_path: Path, repository: Path) -> None:
    cfg = load_config(repository / "configs/synthetic/dino_r18_synthetic-coco.py")
    cfg.dump(str(tmp_path / "dump.py"))
    again = load_config(tmp_path / "dump.py")
    assert again.to_dict() == cfg.to_dict()
    assert again.pretty_text == cfg.pretty_text
