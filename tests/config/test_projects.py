"""Configs in ``projects/NAME/`` find the modules beside them, also in worker processes and from a dump."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import pytest

from dense3d import registry
from dense3d.config import check_config, load_config
from dense3d.config.check import find_faults
from dense3d.errors import ConfigError
from dense3d.registry import MODELS, TRANSFORMS

NET = """
from dense3d.registry import MODELS
from torch import nn
from .parts.widths import WIDTH

@MODELS.register_module()
class LemonNet(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
"""
STEP = """
from dense3d.registry import TRANSFORMS

@TRANSFORMS.register_module(name="Squeeze")
class LemonStep:
    def __call__(self, results):
        return dict(results, squeezed=True)
"""


@pytest.fixture
def lemon(tmp_path, monkeypatch):
    """The folder of a project; what it leaves in the registries goes away."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    index = {variable: dict(names) for variable, names in registry._index().items()}
    known = set(sys.modules)
    registered = {lazy: set(lazy.module_dict) for lazy in (MODELS, TRANSFORMS)}
    folder = tmp_path / "projects" / "lemon"
    (folder / "parts").mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "step.py").write_text(STEP)
    (folder / "parts" / "widths.py").write_text("WIDTH = 7\n")
    yield folder
    for variable, names in registry._index().items():
        names.clear()
        names.update(index.get(variable, {}))
    for module in set(sys.modules) - known:
        if module.split(".")[0] == "projects":
            del sys.modules[module]
    for lazy, names in registered.items():
        for name in set(lazy.module_dict) - names:
            if lazy.module_dict[name].__module__.startswith("projects."):
                del lazy.module_dict[name]


def config(folder: Path, text: str = "model = dict(type='LemonNet', width=3)\n", name: str = "a.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_a_config_finds_its_modules_and_only_what_it_names_is_imported(lemon):
    cfg = load_config(config(lemon / "configs"))
    assert not [module for module in sys.modules if module.startswith("projects.lemon")]
    check_config(cfg)
    assert type(MODELS.build(cfg.model)).__module__ == "projects.lemon.net"
    assert "projects.lemon.step" not in sys.modules


def test_a_misspelt_name_gets_the_projects_nearest(lemon):
    (fault,) = find_faults(load_config(config(lemon, "model = dict(type='LemmonNet')\n")))
    assert fault.endswith("unknown type 'LemmonNet' at model; did you mean 'LemonNet'?")
    (fault,) = find_faults(load_config(config(lemon, "model = dict(type='LemonNet', wdith=3)\n")))
    assert "did you mean 'width'?" in fault


def test_a_config_elsewhere_inherits_from_a_project(lemon, tmp_path):
    config(lemon)
    cfg = load_config(config(tmp_path / "mine", "_base_ = '../projects/lemon/a.py'\n"))
    assert MODELS.get(cfg.model.type).__name__ == "LemonNet"


def test_the_dump_of_a_config_finds_them_too(lemon, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(config(lemon))
    assert cfg.projects == ["projects/lemon"]
    cfg.dump(str(tmp_path / "dump.py"))
    for names in registry._index().values():
        names.pop("LemonNet", None)
    assert MODELS.get(load_config(tmp_path / "dump.py").model.type).__name__ == "LemonNet"
    monkeypatch.chdir(lemon)
    with pytest.raises(ConfigError, match=r"needs the project .*lemon, which does not exist"):
        load_config(tmp_path / "dump.py")


def test_a_spawned_worker_unpickles_what_a_project_defines(lemon):
    load_config(config(lemon))
    step = TRANSFORMS.build(dict(type="Squeeze"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(step, ({},)) == {"squeezed": True}


def test_a_name_that_is_taken_is_refused_and_force_replaces(lemon):
    net = "from dense3d.registry import MODELS\n@MODELS.register_module({})\nclass FocalNet: ...\n"
    (lemon / "other.py").write_text(net.format(""))
    with pytest.raises(ConfigError, match=r"'FocalNet' is registered by dense3d\.backbones\.focalnet and by"):
        load_config(config(lemon))
    (lemon / "other.py").write_text(net.format("force=True"))
    ours = MODELS.get("FocalNet")
    load_config(config(lemon))
    assert MODELS.get("FocalNet").__module__ == "projects.lemon.other"
    MODELS.register_module("FocalNet", module=ours, force=True)


def test_another_librarys_registry_is_filled_at_once(lemon):
    from mmengine.registry import FUNCTIONS

    text = "from mmengine.registry import FUNCTIONS\n@FUNCTIONS.register_module()\ndef lemon_collate(): ...\n"
    (lemon / "collate.py").write_text(text)
    load_config(config(lemon))
    assert FUNCTIONS.module_dict.pop("lemon_collate").__module__ == "projects.lemon.collate"


def test_another_package_of_that_name_is_named(lemon, tmp_path, monkeypatch):
    hiding = tmp_path / "site" / "projects" / "lemon"
    hiding.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ConfigError, match=r"cannot be imported as projects\.lemon, because .*site/projects"):
        load_config(config(lemon))


def test_a_repository_below_a_folder_projects_is_no_project(lemon):
    (lemon / "pyproject.toml").touch()
    assert "projects" not in load_config(config(lemon))


def test_data_beside_the_code_is_not_searched(lemon):
    (lemon / "data" / "deep").mkdir(parents=True)
    text = "from dense3d.registry import MODELS\n@MODELS.register_module()\nclass Stray: ...\n"
    (lemon / "data" / "deep" / "stray.py").write_text(text)
    load_config(config(lemon))
    assert "Stray" not in MODELS.names()
