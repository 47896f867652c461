"""The list of shipped configs: complete, true to the configs, and free of heavy imports."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

from dense3d.cli.dispatch import main
from dense3d.config import load_config
from dense3d.config.catalog import ShippedConfig, list_configs
from dense3d.config.shipped import shipped_configs
from dense3d.errors import ConfigError

CONFIGS = list_configs()
PATHS = {path.stem: path for path in shipped_configs().values()}
METRICS = {
    "detection": {"CocoMetric"},
    "instance segmentation": {"CocoMetric"},
    "panoptic segmentation": {"PanopticQualityMetric"},
    "semantic segmentation": {"IoUMetric"},
    "monocular 3D detection": {"KittiMetric"},
    "3D detection in rooms": {"Boxes3DMetric"},
    "3D detection in radiance grids": {"Boxes3DMetric"},
    "pre-training": {"ReconstructionError", "GridReconstruction"},
    "voxel semantics": {"VoxelIoU"},
    "voxel super-resolution": {"GridReconstruction"},
    "stereo depth": {"DisparityMetric", "DepthMetric"},
    "optical flow": {"FlowMetric"},
    "classification of clouds": {"PointClassification"},
    "part segmentation": {"PartIoU"},
    "segmentation of clouds": {"SceneIoU"},
    "image classification": {"ClassAccuracy"},
}
# Figures of the docstring that are another model's.
NOT_OURS = {"relation-detr_focalnet-l_5scale_5xb2-24e_coco"}


def docstring(config: ShippedConfig) -> str:
    return " ".join(ast.get_docstring(ast.parse(PATHS[config.name].read_text())).split())


def test_every_config_is_listed_with_a_task_and_a_data_set():
    assert sorted(config.name for config in CONFIGS) == sorted(PATHS)
    assert len(PATHS) == len(shipped_configs()), "two configs have one name"
    assert not [config.name for config in CONFIGS if not (config.task and config.dataset and config.summary)]


SAMPLES = {(config.base.split("/")[0], config.task): config for config in CONFIGS}.values()


@pytest.mark.parametrize("config", SAMPLES, ids=lambda config: config.name)
def test_task_is_what_the_config_evaluates(config):
    cfg = load_config(config.base)
    if config.task == "features of clouds":  # by a network that another config trains
        assert "test_evaluator" not in cfg and "train_cfg" not in cfg
        return
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    names = {evaluator["type"].rpartition(".")[2] for evaluator in evaluators}
    assert names & METRICS[config.task], names
    if config.task in ("detection", "instance segmentation"):
        (coco,) = (evaluator for evaluator in evaluators if evaluator["type"].endswith("CocoMetric"))
        assert ("segm" in coco["metric"]) == (config.task == "instance segmentation")


def test_published_figures_stand_in_the_config_or_the_docs(repository):
    docs = "".join(path.read_text() for path in (repository / "docs").glob("*.md"))
    for config in CONFIGS:
        for value in config.published.values():
            if isinstance(value, list):
                assert " / ".join(map(str, value)) in docs, config.name
            else:
                assert str(value) in docstring(config), config.name


def test_published_figures_of_the_configs_are_in_the_table():
    figure = re.compile(r"(?:AP|PQ|IoU) (\d\d\.\d+)|(\d\d\.\d+) box AP")
    for config in CONFIGS:
        found = figure.search(docstring(config))
        if found and config.name not in NOT_OURS:
            assert float(found[1] or found[2]) in config.published.values(), config.name


def test_table_has_no_other_names(repository):
    assert set(json.loads((repository / "configs/published.json").read_text())) <= set(PATHS)


def test_every_word_must_occur(capsys):
    assert main(["configs", "Swin-T", "cityscapes", "instance"]) == 0
    assert capsys.readouterr().out.split("\n") == [
        "instance segmentation, Cityscapes",
        "  mask2former_swin-t_8xb2-90k_cityscapes-instance  mask AP 39.7",
        "",
    ]


def test_json(capsys):
    assert main(["configs", "--json", "kmax", "ade20k", "r50"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "kmax_r50_32xb2-100k_ade20k"
    assert entry["base"] == "dense3d::kmax_deeplab/kmax_r50_32xb2-100k_ade20k.py"
    assert (entry["task"], entry["dataset"]) == ("panoptic segmentation", "ADE20K")
    assert entry["published"] == {"PQ": 42.2}
    assert entry["file"] == str(PATHS[entry["name"]])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["swn"], "no config has 'swn'; did you mean 'swin'"),
        (["swin", "kitti"], "has 'swin' and 'kitti' at once"),
    ],
)
def test_no_config_has_the_words(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        list_configs(words)


def test_listing_needs_neither_torch_nor_mmengine():
    code = (
        "import sys\nfrom dense3d.cli.dispatch import main\nassert main(['configs', 'coco']) == 0\n"
        "print([name for name in ('torch', 'mmengine', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("[]\n"), done.stderr
