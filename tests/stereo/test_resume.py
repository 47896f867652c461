"""A stereo run that is cut in two ends in the same weights, bit for bit, augmentation and noise included."""

from __future__ import annotations

import shutil

import pytest
import torch

from dense3d.apis import train
from tests.datasets.stereo import layouts

CONFIG = """
default_scope = "dense3d"
{model}
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="{data}", data_root="{root}", pipeline=[{steps}, dict(type="PackStereoInputs")]))
train_cfg = dict(type="IterBasedTrainLoop", max_iters=4)
optim_wrapper = dict(type="{wrapper}", optimizer=dict(type="AdamW", lr=1e-3))
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=4)]
default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2))
log_processor = dict(by_epoch=False)
"""
CROCO = (
    "network=dict(pos_embed='RoPE100', enc_embed_dim=16, enc_depth=2, enc_num_heads=2, dec_embed_dim=16, "
    "dec_depth=2, dec_num_heads=2), hooks=(0, 1, 2, 3), crop_size=(32, 32), "
    "head=dict(hidden_channels=(4, 4, 8, 8), channels=8, last_channels=4), "
    "data_preprocessor=dict(type='StereoDataPreprocessor', mean=0, std=255)"
)
CCNEXT = (
    "model = dict(type='CCNeXt', normalised_focal=1.25, "
    "decoder=dict(channels=(4, 4, 8, 8, 8), scales=(0, 1)), "
    "backbone=dict(type='ConvNeXt', arch=dict(dims=(8, 8, 16, 16), depths=(1, 1, 1, 1))), "
    "data_preprocessor=dict(type='StereoDataPreprocessor', mean=0, std=255))"
)
SELF_SUPERVISED = (
    "dict(type='LoadStereo', with_truth=False), dict(type='StereoFlip', prob=0.5), "
    "dict(type='StereoColorJitter', prob=0.9, levels=2)"
)
CASES = {
    "ccnext": dict(model=CCNEXT, data="KittiStereo", steps=SELF_SUPERVISED, wrapper="OptimWrapper"),
    "croco-stereo": dict(
        model=f"model = dict(type='CrocoStereo', {CROCO})",
        data="KittiStereo",
        steps="dict(type='LoadStereo'), dict(type='CrocoStereoAugmentation', size=(32, 32))",
        wrapper="OptimWrapper",
    ),
    "croco-stereo-half": dict(
        model=f"model = dict(type='CrocoStereo', {CROCO})",
        data="KittiStereo",
        steps="dict(type='LoadStereo'), dict(type='CrocoStereoAugmentation', size=(32, 32))",
        wrapper="AmpOptimWrapper",
    ),
    "croco-flow": dict(
        model=f"model = dict(type='CrocoFlow', {CROCO})",
        data="KittiFlow",
        steps="dict(type='LoadStereo'), dict(type='CrocoFlowAugmentation', size=(32, 32))",
        wrapper="OptimWrapper",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_was_cut_ends_as_one_that_was_not(name, tmp_path):
    layouts.kitti(tmp_path / "data", "2015")
    case = dict(CASES[name])
    text = CONFIG.format(root=tmp_path / "data", **case)
    if case["wrapper"] == "AmpOptimWrapper":
        text = text.replace('type="AmpOptimWrapper"', 'type="AmpOptimWrapper", dtype="bfloat16"')
    (tmp_path / "config.py").write_text(text)
    whole = train(tmp_path / "config.py", work_dir=tmp_path / "whole").checkpoint
    (tmp_path / "cut").mkdir()
    shutil.copy(tmp_path / "whole/iter_2.pth", tmp_path / "cut/iter_2.pth")
    resumed = train(tmp_path / "config.py", tmp_path / "cut", resume=tmp_path / "cut/iter_2.pth")
    cut = resumed.checkpoint
    assert whole.name == cut.name == "iter_4.pth"
    expected, found = (torch.load(path, weights_only=True)["state_dict"] for path in (whole, cut))
    start = torch.load(tmp_path / "cut/iter_2.pth", weights_only=True)["state_dict"]
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert any(not torch.equal(start[key], value) for key, value in expected.items())
