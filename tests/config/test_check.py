"""Checking configs: each misspelling is named with file, line, value and the nearest known names."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.config import check_config, find_faults, load_config
from dense3d.config.arguments import accepted_arguments, reads_of
from dense3d.errors import ConfigError


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "config.py"
    path.write_text(text)
    return find_faults(load_config(path))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("\ntrain_dataloder = dict()\n", ["config.py:2", "'train_dataloder'", "'train_dataloader'"]),
        ("val_dataloader = dict(batch_sze=2)\n", ["config.py:1", "'batch_sze'", "'batch_size'"]),
        (
            "default_hooks = dict(ema=dict(type='EMAHok'))\n",
            ["config.py:1", "default_hooks.ema", "'EMAHook'"],
        ),
        (
            "custom_hooks = [dict(type='LoggerHook',\n  intervall=1)]\n",
            ["config.py:2", "'interval'"],
        ),
        ("optim_wrapper = dict(optimizer=dict(type='AdmW'))\n", ["'AdmW'", "'AdamW'"]),
        ("optim_wrapper = dict(optimizer=dict(type='SGD',\n momentm=0.9))\n", ["config.py:2", "'momentum'"]),
        ("param_scheduler = [dict(type='MultiStepLR', milestons=[3])]\n", ["'milestones'"]),
        ("model = dict(type='BaseDataPreprocessor', num_x=1)\n", ["'num_x'", "it accepts"]),
        (
            "hooks = 1\ncustom_hooks = [dict(type='mmdet.MeanTeacherHok')]\n",
            ["config.py:2", "'mmdet.MeanTeacherHook'"],
        ),
        ("model = dict(type='absent_package.Model')\n", ["'absent_package' is not installed"]),
        ("default_hooks = dict(timer=dict(type='../IterTimerHook'))\n", ["did you mean 'IterTimerHook'"]),
        ("model = dict(type='mmengine.model.ImgDataPreprocesor')\n", ["ImgDataPreprocessor"]),
    ],
)
def test_each_misspelling_is_one_sentence(tmp_path: Path, text: str, parts: list[str]) -> None:
    found = faults(tmp_path, text)
    assert len([f for f in found if all(part in f for part in parts)]) == 1, found
    assert all("\n" not in fault for fault in found)


def test_names_of_other_libraries_are_suggested_with_their_prefix(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "train_dataloader = dict(dataset=dict(type='CityscapesDatast'))\n")
    assert "'mmdet.CityscapesDataset'" in fault


def test_unprefixed_names_inside_a_library_are_that_librarys(tmp_path: Path) -> None:
    text = "train_dataloader = dict(dataset=dict(type='mmdet.CocoDataset', pipeline=[dict(type='{}')]))\n"
    assert faults(tmp_path, text.format("PackDetInputs")) == []
    (fault,) = faults(tmp_path, text.format("PackDetInput"))
    assert "'PackDetInputs'" in fault


def test_line_is_found_in_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = 1\ncustom_hooks = [dict(type='EMAHok')]\n")
    (fault,) = faults(tmp_path, "_base_ = 'base.py'\n")
    assert "base.py:2" in fault


def test_line_is_found_in_a_variable_of_the_base(tmp_path: Path) -> None:
    base = "_logger = dict(\n    type='LoggerHook',\n    intervall=1,\n)\n"
    (tmp_path / "base.py").write_text(base)
    (fault,) = faults(tmp_path, "_base_ = './base.py'\ncustom_hooks = [dict(**_base_._logger)]\n")
    assert "base.py:3" in fault and "'interval'" in fault


def test_faults_of_options_are_located_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("custom_hooks = [dict(type='LoggerHook')]\n")
    (fault,) = find_faults(load_config(path, {"custom_hooks.0.intervall": 3}))
    assert fault.startswith("--cfg-options custom_hooks.0.intervall: ")
    (fault,) = find_faults(load_config(path, {"custom_hooks.0.type": "LogerHook"}))
    assert fault.startswith("--cfg-options custom_hooks.0.type: ")


def test_variables_are_no_misspelt_settings(tmp_path: Path) -> None:
    text = (
        "train_pipeline = [dict(type='LoadImageFromFile')]\nmodels = 3\n"
        "train_dataloader = dict(num_workers=models, dataset=dict(pipeline=train_pipeline))\n"
    )
    assert faults(tmp_path, text) == []


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("train_dataloder = dict()\ncustom_hooks = [dict(type='EMAHok')]\n")
    with pytest.raises(ConfigError) as caught:
        check_config(load_config(path))
    assert "2 faults" in str(caught.value)
    assert "'train_dataloader'" in str(caught.value)
    assert "'EMAHook'" in str(caught.value)


class Base:
    def __init__(self, width: int, depth: int = 1) -> None: ...


class Forwarding(Base):
    def __init__(self, height: int, **kwargs) -> None:
        super().__init__(depth=2, **kwargs)


class Consuming(Base):
    def __init__(self, **kwargs) -> None:
        self.extra = kwargs.pop("extra", None)
        super().__init__(**kwargs)


def test_kwargs_are_followed_to_the_base() -> None:
    assert accepted_arguments(Forwarding) == {"height", "width", "depth"}


class Swallowing(Base):
    def __init__(self, num_queries: int, **kwargs) -> None:
        super().__init__(width=1)


class Handing:
    def __init__(self, **kwargs) -> None:
        self.inner = sorted(**kwargs)  # a function that is not Python


def test_keys_that_are_taken_out_of_kwargs_are_arguments() -> None:
    assert accepted_arguments(Consuming) == {"extra", "width", "depth"}


def test_arguments_are_unknown_where_kwargs_go_out_of_sight() -> None:
    assert accepted_arguments(Handing) is None


def test_kwargs_that_nobody_looks_at_hide_no_misspelling() -> None:
    assert reads_of(Swallowing).swallows and not reads_of(Forwarding).swallows


@pytest.mark.parametrize(
    "name",
    [
        "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py",
        "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
        "mmdet::detr/detr_r50_8xb2-150e_coco.py",
        "mmdet::yolox/yolox_s_8xb8-300e_coco.py",
        "mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py",
        "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py",
    ],
)
def test_shipped_configs_have_no_faults(tmp_path: Path, name: str) -> None:
    assert faults(tmp_path, f"_base_ = '{name}'\n") == []


def test_dino_of_mmdet_builds_from_a_prefixed_dict(tmp_path: Path) -> None:
    """The class defaults of mmdet's heads name mmdet's losses: only the mark makes them resolve."""
    from mmengine.registry import DefaultScope

    from dense3d.registry import MODELS

    path = tmp_path / "config.py"
    path.write_text("model = dict(type='mmdet.DETRHead', num_classes=3)\n")
    with DefaultScope.overwrite_default_scope("dense3d"):
        head = MODELS.build(load_config(path).model)
    assert type(head.loss_iou).__module__.startswith("mmdet.")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("pipeline=3", "train_dataloader.dataset.pipeline must be a list of dicts, not 3"),
        ("pipeline=[3]", "train_dataloader.dataset.pipeline.0 must be a dict, not 3"),
        ("data_root=1.5", "train_dataloader.dataset.data_root must be a text, not 1.5"),
        ("type=None", "train_dataloader.dataset must have a type"),
        (
            "type='ConcatDataset', datasets=[dict(type='CocoDataset', data_root=7)]",
            "train_dataloader.dataset.datasets.0.data_root must be a text, not 7",
        ),
    ],
)
def test_what_the_scan_reads_of_a_data_set_is_checked(tmp_path: Path, text: str, part: str) -> None:
    kind = "" if "type" in text else "type='CocoDataset', "
    found = faults(tmp_path, f"train_dataloader = dict(dataset=dict({kind}{text}))\n")
    assert any(part in fault and "config.py:1" in fault for fault in found), found


def test_settings_of_the_process_group_are_a_dict(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "env_cfg = dict(dist_cfg=['nccl'])\n")
    assert "env_cfg.dist_cfg must be a dict, not the list ['nccl']" in fault
