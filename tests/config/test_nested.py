"""Misspelt keys further inside, keys of train_cfg and test_cfg, and values of the wrong type."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.config import find_faults, load_config, parse_options

SHIPPED = {
    "dino": "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py",
    "mask-rcnn": "mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "cascade": "mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "segmentor": "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py",
    "ours": "dense3d::synthetic/dino_r18_synthetic-coco.py",
    "panoptic": "dense3d::synthetic/kmax_r18_synthetic-panoptic.py",
}


def faults(tmp_path: Path, base: str, *words: str, text: str = "") -> list[str]:
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = {SHIPPED[base]!r}\n{text}")
    return find_faults(load_config(path, parse_options(list(words))))


@pytest.mark.parametrize(
    ("base", "word", "parts"),
    [
        ("dino", "model.encoder.num_layerxs=1", ["'num_layerxs' in model.encoder", "'num_layers'"]),
        ("dino", "model.decoder.layer_cfg.ffn_cfg.feedforward_chanels=9", ["'feedforward_channels'"]),
        ("dino", "model.dn_cfg.group_cfg.num_dn_query=9", ["model.dn_cfg.group_cfg", "'num_dn_queries'"]),
        ("dino", "model.positional_encoding.normalise=True", ["'normalize'"]),
        ("dino", "model.test_cfg.max_per_imgg=5", ["'max_per_imgg' of model.test_cfg", "'max_per_img'"]),
        ("dino", "model.train_cfg.asigner=3", ["'asigner' of model.train_cfg", "'assigner'"]),
        ("dino", "model.train_cfg.assigner.match_costss=3", ["HungarianAssigner", "'match_costs'"]),
        ("dino", "model.test_cfg.zzz=5", ["no class of the model reads 'zzz' of model.test_cfg"]),
        (
            "mask-rcnn",
            "model.test_cfg.rcnn.score_the=5",
            ["'score_the' of model.test_cfg.rcnn", "'score_thr'"],
        ),
        ("mask-rcnn", "model.train_cfg.rcnn.mask_sizes=5", ["'mask_size'"]),
        ("cascade", "model.train_cfg.rcnn.1.asigner=5", ["model.train_cfg.rcnn.1", "'assigner'"]),
        ("segmentor", "model.test_cfg.crop_sise=5", ["'crop_size'"]),
        ("panoptic", "model.test_cfg.stuff_treshold=5", ["'stuff_threshold'"]),
        ("mask-rcnn", "model.backbone.init_cfg.checkpont=x", ["Pretrained at model", "'checkpoint'"]),
        ("mask-rcnn", "model.backbone.norm_cfg.requires_gradd=x", ["'requires_gradd'"]),
        ("mask-rcnn", "model.roi_head.bbox_head.loss_cls.loss_wheight=x", ["'loss_weight'"]),
        ("mask-rcnn", "model.roi_head.bbox_roi_extractor.roi_layer.sampling_rato=2", ["'sampling_ratio'"]),
        ("mask-rcnn", "model.data_preprocessor.pad_size_diviser=2", ["'pad_size_divisor'"]),
        ("ours", "+optim_wrapper.paramwise_cfg.custom_key=2", ["'custom_keys'"]),
        ("ours", "+optim_wrapper.clip_grad.max_nrm=2", ["'max_norm'"]),
        ("ours", "+env_cfg.mp_cfg.opencv_num_thread=2", ["env_cfg.mp_cfg", "'opencv_num_threads'"]),
        ("ours", "+randomness.sed=2", ["'seed'"]),
        ("ours", "val_evaluator.metrc=bbox", ["'metric'"]),
        ("ours", "default_hooks.checkpoint.intervall=2", ["CheckpointHook", "'interval'"]),
    ],
)
def test_misspelt_keys_further_inside(tmp_path: Path, base: str, word: str, parts: list[str]) -> None:
    found = faults(tmp_path, base, word)
    assert len(found) == 1 and found[0].startswith(f"--cfg-options {word.partition('=')[0]}: "), found
    assert all(part in found[0] for part in parts), found


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("train_cfg.max_epochs=0", ["at least 1, not 0"]),
        ("train_cfg.max_epochs=1.5", ["whole number"]),
        ("train_cfg.max_epochs=None", ["not None"]),
        ("train_dataloader.batch_size='8'", ["the text '8'"]),
        ("train_dataloader.batch_size=-1", ["at least 1"]),
        ("train_dataloader.num_workers=-1", ["0 or more"]),
        ("train_dataloader.dataset=[1,2]", ["must be a dict, not the list [1, 2]"]),
        ("train_dataloader=3", ["must be a dict, not 3"]),
        ("optim_wrapper.optimizer.lr=-1", ["0 or more, not -1"]),
        ("optim_wrapper.optimizer.lr=nan", ["nan"]),
        ("optim_wrapper.optimizer.lr=inf", ["inf"]),
        ("optim_wrapper.optimizer.lr='1e-4'", ["the text '1e-4'"]),
        ("custom_hooks=3", ["custom_hooks must be a list of dicts"]),
        ("custom_hooks=[3]", ["custom_hooks.0 must be a dict"]),
        ("default_hooks=[1]", ["default_hooks must be a dict"]),
        ("default_hooks.timer=3", ["None or a dict with a type"]),
        ("param_scheduler=5", ["a dict or a list of dicts"]),
        ("model=[1]", ["model must be a dict"]),
        ("model.backbone=[1,2]", ["must be a dict", "the list [1, 2]"]),
        ("log_level=INFOO", ["'INFO'"]),
        ("default_scope=mmdett", ["'mmdet'"]),
        ("+load_from=[1]", ["load_from must be a text"]),
        ("randomness.seed=-1", ["0 or more"]),
        ("env_cfg=5", ["env_cfg must be a dict"]),
    ],
)
def test_values_of_the_wrong_kind(tmp_path: Path, word: str, parts: list[str]) -> None:
    found = faults(tmp_path, "ours", word)
    assert any(all(part in fault for part in parts) for fault in found), found
    assert all("\n" not in fault for fault in found)


def test_the_line_of_a_wrong_value_is_that_of_its_own_loader(tmp_path: Path) -> None:
    text = "val_dataloader = dict(batch_size=3)\ntrain_dataloader = dict(\n    batch_size='8')\n"
    (fault,) = faults(tmp_path, "ours", text=text)
    assert "config.py:4: train_dataloader.batch_size must be a whole number or None" in fault


def test_a_dict_of_the_command_line_keeps_its_place(tmp_path: Path) -> None:
    word = "model.test_cfg=dict(mode='slide', crop_size=(512, 512), strides=(341, 341))"
    (fault,) = faults(tmp_path, "segmentor", word)
    assert fault.startswith("--cfg-options model.test_cfg: ") and "'stride'" in fault
    assert faults(tmp_path, "segmentor", word.replace("strides", "stride")) == []


def test_kwargs_go_to_the_type_that_an_argument_names(tmp_path: Path) -> None:
    word = "train_dataloader.dataset.pipeline=[dict(type='RandomResize', scale=(9, 9), keep_ration=True)]"
    found = faults(tmp_path, "ours", word)
    assert "RandomResize" in found[0] and "'keep_ratio'" in found[0]
