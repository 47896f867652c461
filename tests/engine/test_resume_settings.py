"""A run that is resumed with a changed config: the new schedule holds, what differs is named, one switch."""

from __future__ import annotations

import copy

import pytest
import torch
from processes import finish, losses, start

from dense3d.engine.settings import changes, read_settings, saved_recipe, sentence
from dense3d.errors import CheckpointError

ADAM = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.05}}


def epochs(number: int) -> dict:
    return {"type": "EpochBasedTrainLoop", "max_epochs": number}


def cosine(number: int) -> list[dict]:
    warm_up = {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 5}
    kind = {"type": "CosineAnnealingLR", "by_epoch": True, "T_max": number, "convert_to_iter_based": True}
    return [warm_up, kind]


HOOKS = {"checkpoint": {"type": "CheckpointHook", "interval": 1}}
OPTIONS = {"optim_wrapper": ADAM, "default_hooks": HOOKS}


def group(work_dir, name: str) -> dict:
    return torch.load(work_dir / name, weights_only=True)["optimizer"]["param_groups"][0]


def extended(tmp_path, **options) -> str:
    """Two epochs, resumed for four; the output."""
    finish(tmp_path, train_cfg=epochs(2), param_scheduler=cosine(2), **OPTIONS)
    finish(
        tmp_path, resume=True, **{**OPTIONS, "train_cfg": epochs(4), "param_scheduler": cosine(4), **options}
    )
    return (tmp_path / "output.txt").read_text()


def test_extending_a_training_lets_the_new_schedule_hold(tmp_path):
    output = extended(tmp_path / "extended")
    finish(tmp_path / "whole", train_cfg=epochs(4), param_scheduler=cosine(4), **OPTIONS)
    for name in ("epoch_3.pth", "epoch_4.pth"):
        found, wanted = (group(tmp_path / run, name) for run in ("extended", "whole"))
        assert found["lr"] == wanted["lr"] and found["initial_lr"] == wanted["initial_lr"]
    assert group(tmp_path / "extended", "epoch_3.pth")["lr"] > 0.001
    assert "the config's holds for train_cfg.max_epochs 2 -> 4, param_scheduler[1].T_max 2 -> 4" in output
    assert "--resume-settings checkpoint takes the checkpoint's" in output
    assert len(losses(tmp_path / "extended")) == 28


def test_switch_takes_the_checkpoints_settings(tmp_path):
    """Its schedule, its learning rate and its length: nothing is left to train, and that is said."""
    wrapper = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.5, "weight_decay": 0.05}}
    output = extended(tmp_path, optim_wrapper=wrapper, resume_settings="checkpoint")
    assert len(losses(tmp_path)) == 14
    assert (
        "the checkpoint's holds for train_cfg.max_epochs 2 -> 4, optim_wrapper.optimizer.lr 0.01 -> 0.5"
        in output
    )
    assert "--resume-settings config takes the config's" in output
    assert "nothing is left to train" in output


def test_switch_in_the_middle_is_the_run_that_was_never_changed(tmp_path):
    options = {"train_cfg": epochs(4), "param_scheduler": cosine(4), **OPTIONS}
    finish(tmp_path / "whole", **options)
    process = start(tmp_path / "cut", loading=0.005, **options)
    while not (tmp_path / "cut" / "epoch_2.pth").exists() and process.is_alive():
        pass
    process.kill()
    process.join()
    changed = {**options, "train_cfg": epochs(3), "param_scheduler": cosine(3)}
    changed["optim_wrapper"] = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.3}}
    finish(tmp_path / "cut", resume=True, resume_settings="checkpoint", batch_size=2, **changed)
    expected = {r["iter"]: r for r in losses(tmp_path / "whole")}
    assert all(record == expected[record["iter"]] for record in losses(tmp_path / "cut"))
    assert {r["iter"] for r in losses(tmp_path / "cut")} == set(range(28))


@pytest.mark.parametrize(
    ("change", "told", "key", "value"),
    [
        ({"weight_decay": 0.2}, "optim_wrapper.optimizer.weight_decay 0.05 -> 0.2", "weight_decay", 0.2),
        ({"lr": 0.002}, "optim_wrapper.optimizer.lr 0.01 -> 0.002", "initial_lr", 0.002),
        ({"betas": (0.5, 0.9)}, "optim_wrapper.optimizer.betas (absent) -> [0.5, 0.9]", "betas", (0.5, 0.9)),
    ],
)
def test_changed_settings_of_the_optimizer_hold(tmp_path, change, told, key, value):
    wrapper = copy.deepcopy(ADAM)
    wrapper["optimizer"].update(change)
    output = extended(tmp_path, optim_wrapper=wrapper)
    assert told in output
    assert group(tmp_path, "epoch_4.pth")[key] == value


def test_changed_milestones_hold(tmp_path):
    steps = [{"type": "MultiStepLR", "by_epoch": True, "milestones": [1], "gamma": 0.1}]
    finish(tmp_path, train_cfg=epochs(2), param_scheduler=steps, **OPTIONS)
    later = [{**steps[0], "milestones": [3], "gamma": 0.5}]
    finish(tmp_path, resume=True, train_cfg=epochs(4), param_scheduler=later, **OPTIONS)
    rates = [group(tmp_path, f"epoch_{n}.pth")["lr"] for n in (1, 2, 3, 4)]
    assert rates == pytest.approx([0.001, 0.001, 0.005, 0.005])
    output = (tmp_path / "output.txt").read_text()
    assert "param_scheduler[0].milestones [1] -> [3]" in output


def test_a_rate_without_schedule_holds(tmp_path):
    options = {**OPTIONS, "param_scheduler": None}
    finish(tmp_path, train_cfg=epochs(2), **options)
    wrapper = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.003, "weight_decay": 0.05}}
    finish(tmp_path, resume=True, train_cfg=epochs(3), **{**options, "optim_wrapper": wrapper})
    assert group(tmp_path, "epoch_3.pth")["lr"] == 0.003


def test_a_changed_batch_size_keeps_the_epochs(tmp_path):
    """26 samples: seven batches of four an epoch, thirteen of two."""
    finish(tmp_path, train_cfg=epochs(2), param_scheduler=cosine(4), **OPTIONS)
    finish(tmp_path, resume=True, batch_size=2, train_cfg=epochs(4), param_scheduler=cosine(4), **OPTIONS)
    assert [r["iter"] for r in losses(tmp_path)] == [*range(14), *range(26, 52)]
    assert "a pass over the data has 13 batches and had 7" in (tmp_path / "output.txt").read_text()
    finish(tmp_path / "whole", batch_size=2, train_cfg=epochs(4), param_scheduler=cosine(4), **OPTIONS)
    found, wanted = (group(folder, "epoch_3.pth")["lr"] for folder in (tmp_path, tmp_path / "whole"))
    assert found == wanted


def test_another_optimizer_is_refused(tmp_path):
    finish(tmp_path, train_cfg=epochs(1), param_scheduler=[], **OPTIONS)
    wrapper = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.01}}
    options = {**OPTIONS, "optim_wrapper": wrapper}
    process = start(tmp_path, resume=True, train_cfg=epochs(2), param_scheduler=[], **options)
    process.join()
    output = (tmp_path / "output.txt").read_text()
    assert process.exitcode == 1 and "is of another optimizer than SGD (it has no momentum)" in output


def test_a_config_in_a_checkpoint_is_never_run():
    """Calls stay text; a type that a registry would import is refused."""
    text = "train_cfg = dict(max_epochs=__import__('os').system('true'))\nimport os\nos.abort()"
    assert read_settings(text) == {"train_cfg": {"max_epochs": "__import__('os').system('true')"}}
    assert read_settings("this is no config (") == {} == read_settings(None)
    saved = {"train_cfg": {"max_epochs": 1}, "optim_wrapper": {"optimizer": {"type": "os.system"}}}
    with pytest.raises(CheckpointError, match=r"names the type 'os\.system'"):
        saved_recipe(saved, "run.pth")


def test_differences_of_the_model_are_named_and_the_config_holds():
    saved, present = ({"model": {"heads": [{"rate": r}]}, "work_dir": str(r)} for r in (0.1, 0.2))
    told = sentence(changes(saved, present), "checkpoint")
    assert told.endswith("the config's holds for model.heads[0].rate 0.1 -> 0.2")
    assert sentence(changes(saved, saved), "config") == ""
