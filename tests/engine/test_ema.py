"""mmdet's recipe for averaged weights, in a run of ours, resumed exactly."""

from __future__ import annotations

import pytest
import torch
from processes import assert_same_run, finish, kill_when, losses, start
from tiny_training import config

from dense3d.engine import Runner
from dense3d.engine.ema import EMAHook
from dense3d.errors import CheckpointError, ConfigError

RECIPE = {
    "type": "EMAHook",
    "ema_type": "ExpMomentumEMA",
    "momentum": 0.0002,
    "update_buffers": True,
    "priority": 49,
}
HOOKS = {"custom_hooks": [{"type": "WriteLosses"}, RECIPE]}


def test_mmdets_recipe_works_and_resumes_exactly(tmp_path):
    finish(tmp_path / "whole", **HOOKS)
    process = start(tmp_path / "cut", loading=0.002, **HOOKS)
    assert kill_when(process, lambda: (tmp_path / "cut" / "iter_10.pth").exists())
    finish(tmp_path / "cut", resume=True, **HOOKS)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
    last = torch.load(tmp_path / "whole" / "iter_28.pth", weights_only=True)
    assert int(last["ema_state_dict"]["steps"]) == 28


def test_an_unknown_average_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="no ema_type 'ExpMomentumEmma'; did you mean 'ExpMomentumEMA'"):
        EMAHook(ema_type="ExpMomentumEmma")


def test_resumed_without_the_hook_training_goes_on_from_the_weights_themselves(tmp_path):
    """Not from the average, which the checkpoint holds in their place; the losses tell."""
    short = {"type": "EpochBasedTrainLoop", "max_epochs": 2}
    hooks = {"checkpoint": {"type": "CheckpointHook", "interval": 1}}
    finish(tmp_path, train_cfg=short, default_hooks=hooks, **HOOKS)
    finish(tmp_path, resume=True, default_hooks=hooks, custom_hooks=[{"type": "WriteLosses"}])
    finish(tmp_path / "whole", custom_hooks=[{"type": "WriteLosses"}])
    assert losses(tmp_path) == losses(tmp_path / "whole")
    assert "has averaged weights, which end here" in (tmp_path / "output.txt").read_text()


def test_averaged_weights_of_another_model_are_named_as_the_models_own(tmp_path):
    short = {"type": "EpochBasedTrainLoop", "max_epochs": 2}
    finish(tmp_path, train_cfg=short, **HOOKS)
    runner = Runner.from_cfg(
        config(tmp_path, model={"type": "TinyModel", "width": 6}, resume=True, custom_hooks=[RECIPE])
    )
    with pytest.raises(CheckpointError, match=r"stem.weight: \[8, 3, 3, 3\] in the checkpoint, \[6, 3"):
        runner.train()
