"""The names of the registries, read from the source, and the import of one name's module alone."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dense3d
from dense3d import registry
from dense3d.name_index import Registration, modules_below, registrations

ROOT = Path(dense3d.__file__).parent
REGISTRIES = [found for found in vars(registry).values() if isinstance(found, registry.LazyRegistry)]


def test_the_index_is_what_the_modules_register_when_they_run():
    for module, file in modules_below(ROOT, "dense3d"):
        if "register_module(" in file.read_text(encoding="utf-8"):
            importlib.import_module(module)
    for lazy in REGISTRIES:
        ran = {
            name: found.__module__
            for name, found in lazy.module_dict.items()
            if found.__module__.startswith("dense3d.")
        }
        assert ran == lazy.index, lazy.variable


def test_dense3d_registers_in_no_other_library():
    for module, file in modules_below(ROOT, "dense3d"):
        homes = {found.home for found in registrations(file.read_text(encoding="utf-8"))}
        assert homes <= {"dense3d.registry"}, module


def test_every_module_is_seen():
    files = {file for _, file in modules_below(ROOT, "dense3d")}
    assert files == {file for file in ROOT.rglob("*.py") if "configs" not in file.parts}


HEAD = "from dense3d.registry import HOOKS, MODELS as NETS\nfrom mmdet.registry import MODELS\n"
FORMS = {
    "@NETS.register_module()\nclass A: ...": ["A"],
    "@NETS.register_module(name='B')\nclass A: ...": ["B"],
    "@NETS.register_module('B')\ndef a(): ...": ["B"],
    "@NETS.register_module(['B', 'C'])\nclass A: ...": ["B", "C"],
    "@NETS.register_module(\n    name=('B', 'C'),  # two\n)\n@other(1)\nclass A(Base):\n    ...": ["B", "C"],
    "@other\n@NETS.register_module(name=None)\nclass A: ...": ["A"],
    "if fast:\n\n    @NETS.register_module()\n    class A: ...": ["A"],
    "NETS.register_module(module=A)": ["A"],
    "NETS.register_module('B', module=there.A)": ["B"],
    "NETS.register_module(module=there.A)\nother(1)": ["A"],
    "class A: ...\nOTHER.register_module(module=A)": [],
    "def later():\n    NETS.register_module(module=A)": [],
    "@NETS.register_module(name=computed(1))\nclass A: ...": [],
}


@pytest.mark.parametrize(("text", "names"), FORMS.items(), ids=range(len(FORMS)))
def test_forms_of_registration(text, names):
    found = registrations(HEAD + text + "\n")
    assert found == [Registration("dense3d.registry", "MODELS", name) for name in names]


def test_the_registry_of_another_library_is_told_apart():
    found = registrations(HEAD + "@MODELS.register_module(force=True)\nclass A: ...\n")
    assert found == [Registration("mmdet.registry", "MODELS", "A", force=True)]


def imported_by(code: str) -> set[str]:
    listing = "\nimport sys; print(*sorted(m for m in sys.modules if m.startswith('dense3d')))"
    command = [sys.executable, "-W", "ignore", "-c", code + listing]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT.parent, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_a_name_imports_its_own_module():
    home = registry.MODELS.index["ChannelLayerNorm"]
    modules = imported_by("from dense3d.registry import MODELS; MODELS.get('dense3d.ChannelLayerNorm')")
    shared = ("dense3d.engine", "dense3d.ops")
    packages = {m for m in modules if m.count(".") > 1 and not m.startswith(shared)}
    assert packages == {home}


def test_listing_names_imports_nothing():
    modules = imported_by("from dense3d.registry import MODELS; assert 'KMaXDeepLab' in MODELS.names()")
    assert not {m for m in modules if m.startswith(("dense3d.segmentation", "dense3d.backbones"))}


def test_whatever_is_asked_for_checkpoints_are_read_by_the_safe_loader():
    code = (
        "from mmengine.runner import checkpoint\nfrom dense3d.registry import {0}\n{0}.get('{1}')\n"
        "assert checkpoint._safe_torch_load.__module__ == 'dense3d.engine.checkpoint'"
    )
    imported_by(code.format("MODELS", "Swin"))
    imported_by(code.format("HOOKS", "InterruptHook"))
