"""Mutated configs: each is loaded, checked and made ready to run, or refused in one sentence."""

from __future__ import annotations

import json
import keyword
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from dense3d.apis import build_model
from dense3d.config import find_faults, load_config
from tests.fuzz.mutations import mutated
from tests.fuzz.outcomes import assert_clear

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = (
    "synthetic/detr_r18_synthetic-coco",
    "synthetic/kmax_r18_synthetic-panoptic",
    "synthetic/monodetr_r18_synthetic-kitti",
    "synthetic/vit-comer-t_upernet_synthetic-ade20k",
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 0.5, -0.0, 1e-300, 1e30, float("nan"), float("inf"), -float("inf"),
    "", " ", "0", "12", "nan", "None", "a\nb", "\x00", "../../a", "é\u202e", "x" * 3000, "backbone",
    "mmdet.DETR", [], {}, [[]], [None], [0], ["1"], {"type": 1}, {"type": "ResNet"}, {"": None},
    {"type": "mmdet.ResNet"}, {"_delete_": True}, {"type": "dense3d.errors.ConfigError"},
    {"type": "os.system", "command": "exit"},
)  # fmt: skip


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(value) for value in node]
    return node


def sound(name: str) -> dict[str, Any]:
    tree = plain(load_config(CONFIGS / f"{name}.py").to_dict())
    tree["synthetic_data"] = None
    if "model_name" in tree["model"]["backbone"]:
        tree["model"]["backbone"]["pretrained"] = False
    return {key: value for key, value in tree.items() if key not in ("filename", "text")}


def write(tree: Any, folder: Path) -> Path:
    """As Python where every key is a name, else as JSON, which mmengine reads too."""
    is_python = isinstance(tree, dict) and all(k.isidentifier() and not keyword.iskeyword(k) for k in tree)
    path = folder / ("config.py" if is_python else "config.json")
    if is_python:
        text = "_nan, _inf = float('nan'), float('inf')\n"
        path.write_text(text + "".join(f"{key} = {_python(value)}\n" for key, value in tree.items()))
    else:
        path.write_text(json.dumps(tree))
    return path


def _python(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_python(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    if isinstance(value, float):
        return repr(value).replace("nan", "_nan").replace("inf", "_inf")
    return repr(value)


def make_ready(tree: Any, folder: Path) -> None:
    """What ``dense3d.build_model`` does with a config, on a device without memory."""
    path = write(tree, folder)
    if find_faults(load_config(path)):  # each is a sentence; see the test of the check
        return
    with torch.device("meta"):
        build_model(path)


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the forked processes would import, each of them anew."""
    for name in NAMES:
        make_ready(sound(name), tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("name", NAMES)
def test_sound_trees_are_ready(name: str, tmp_path: Path) -> None:
    assert find_faults(load_config(write(sound(name), tmp_path))) == []


@pytest.mark.parametrize("name", NAMES)
def test_mutated_configs_are_checked(profile, name: str, tmp_path: Path) -> None:
    """All of the tree, every value: loading and checking alone."""

    def check(tree: Any) -> None:
        path = write(tree, tmp_path)
        for fault in find_faults(load_config(path)):
            assert "\n" not in fault, fault

    @settings(profile, max_examples=max(10, profile.max_examples // 4))
    @given(mutated(sound(name), values=VALUES))
    def ends_clearly(tree: Any) -> None:
        assert_clear(check, tree, seconds=30.0)

    ends_clearly()


@pytest.mark.parametrize("name", NAMES)
def test_mutated_models_are_built(profile, name: str, tmp_path: Path, monkeypatch) -> None:
    """Names, types and values of the model's settings; large numbers are left out, which only take long."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tree = sound(name)

    @settings(profile, max_examples=max(10, profile.max_examples // 4))
    @given(mutated(tree["model"], values=VALUES))
    def ends_clearly(model: Any) -> None:
        if largest(model) < 5000:
            assert_clear(make_ready, {**tree, "model": model}, tmp_path, seconds=60.0)

    ends_clearly()


def largest(node: Any) -> float:
    """The greatest finite number of a tree."""
    if isinstance(node, (dict, list)):
        return max(map(largest, node.values() if isinstance(node, dict) else node), default=0)
    return abs(node) if isinstance(node, (int, float)) and node - node == 0 else 0
