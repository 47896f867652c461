"""Comparisons of backbones: equal budgets, failures, what is done is kept, report and picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dense3d.benchmarks import backbone_comparison
from dense3d.benchmarks.backbone_choice import backbones_of_file, chosen_variants
from dense3d.benchmarks.backbone_comparison import TASKS, compare_backbones
from dense3d.benchmarks.backbone_report import as_markdown, table_of
from dense3d.cli.dispatch import main
from dense3d.errors import ConfigError

ARCH = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))
BACKBONES = {
    "ConvNeXt": dict(type="dense3d.ConvNeXt", arch=ARCH),
    "Swin": dict(
        type="dense3d.Swin",
        arch=dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
        window_size=4,
    ),
    "broken": dict(type="dense3d.ConvNeXt", arch="no such size"),
}
TASKS_HERE = ("classification", "linear-probe", "retrieval")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, colour in {"blue": (30, 40, 200), "red": (200, 30, 40)}.items():
            (root / split / name).mkdir(parents=True)
            for number in range(10):
                pixels = np.clip(rng.normal(colour, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    changes = {"model.num_classes": "data", "train_dataloader.batch_size": 4, "param_scheduler": None}
    for loader, split in (("train", "train"), ("val", "val"), ("test", "val")):
        place = f"{loader}_dataloader.dataset"
        changes |= {f"{place}.data_root": str(root / split), f"{place}.classes": None}
    return changes | {"train_cfg.max_iters": 4, "train_cfg.val_interval": 4}


@pytest.fixture(scope="module")
def found(options, tmp_path_factory):
    told = []
    out = tmp_path_factory.mktemp("battle")
    comparison = compare_backbones(out, BACKBONES, TASKS_HERE, options=options, side=64, tell=told.append)
    return comparison, told


def test_every_backbone_has_every_task_and_failures_say_why(found):
    comparison, told = found
    assert len(comparison.outcomes) == len(told) == 9
    by_name = {(one.backbone, one.task): one for one in comparison.outcomes}
    for task, measure in zip(TASKS_HERE, ("image/top1", "probe/top1", "retrieval/mAP")):
        for name in ("ConvNeXt", "Swin"):
            assert by_name[name, task].measure == measure and 0 <= by_name[name, task].value <= 100
        assert "no such size" in by_name["broken", task].error
    assert [one.name for one in comparison.ranking] and comparison.costs["broken"] is None
    assert comparison.costs["ConvNeXt"].parameters > 1000 and comparison.costs["ConvNeXt"].gmacs > 0


def test_the_report_has_a_table_and_a_picture(found):
    comparison, _ = found
    rows = table_of(comparison, TASKS_HERE)
    assert (
        rows[0][:3] == ["place", "backbone", "score"]
        and len(rows) == 4
        and rows[-1][:3] == ["-", "broken", "-"]
    )
    text = (comparison.folder / "comparison.md").read_text()
    assert as_markdown(rows) in text and "* broken, classification:" in text
    assert Image.open(comparison.folder / "pareto.png").size[0] > 500
    assert len(json.loads((comparison.folder / "comparison.json").read_text())["outcomes"]) == 9


def test_what_is_done_is_not_done_again(found, options, monkeypatch):
    comparison, _ = found

    def never(*_, **__):
        raise AssertionError("a run that is done runs again")

    for name in ("train", "frozen_score", "backbone_costs"):
        monkeypatch.setattr(backbone_comparison, name, never)
    some = {name: BACKBONES[name] for name in ("ConvNeXt", "Swin")}
    again = compare_backbones(comparison.folder, some, TASKS_HERE, options=options, side=64)
    assert not any(one.error for one in again.outcomes)
    other = compare_backbones(comparison.folder, some, ["classification"], options=options, side=64, seed=1)
    assert all("runs again" in one.error for one in other.outcomes)


def test_plain_transformers_get_a_pyramid_where_heads_want_one():
    vit = dict(type="dense3d.VisionTransformer", arch=dict(embed_dim=32, depth=4, num_heads=2))
    fitted = backbone_comparison._fitted(vit, "detection", "dense3d")
    assert fitted["type"] == "dense3d.SimplePyramid" and fitted["vit"]["arch"] == vit["arch"]
    assert backbone_comparison._fitted(vit, "classification", "dense3d") == vit
    short = dict(BACKBONES["ConvNeXt"], out_indices=(0, 1))
    with pytest.raises(ConfigError, match="strides"):
        backbone_comparison._fitted(short, "segmentation", "dense3d")


def test_names_tasks_and_files_are_looked_up(tmp_path, capsys):
    with pytest.raises(ConfigError, match="did you mean 'Swin"):
        chosen_variants(["Swin (V3)"])
    with pytest.raises(ConfigError, match="no task 'detect'"):
        compare_backbones(tmp_path, BACKBONES, ["detect"])
    (tmp_path / "mine.py").write_text("net = dict(type='dense3d.Swin')\nnumber = 3\n")
    assert backbones_of_file(tmp_path / "mine.py") == {"net": {"type": "dense3d.Swin"}}
    (tmp_path / "empty.py").write_text("number = 3\n")
    with pytest.raises(ConfigError, match="no dict with a type"):
        backbones_of_file(tmp_path / "empty.py")
    assert main(["compare-backbones", str(tmp_path), "--backbones", "list"]) == 0
    assert "Swin (V2)" in capsys.readouterr().out


def test_the_budgets_are_configs_of_their_tasks():
    from dense3d.config import load_config

    for name, _ in TASKS.values():
        cfg = load_config(name)
        assert 0 < cfg.train_cfg.max_iters <= 400 and "backbone" in cfg.model
        assert Path(cfg.filename).parent.name == "compare_backbones"
