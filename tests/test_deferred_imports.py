"""Heavy packages that mmdet and timm import and seldom use are loaded at their first use, for them alone."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from dense3d import deferred_imports
from dense3d.deferred_imports import SELDOM_USED
from dense3d.ops import install_mmcv_extension, mmcv_imports

HEAVY = ("imgaug", "sklearn", "wandb", "tifffile", "matplotlib", "imagecorruptions", "scipy.interpolate")
START = """
import sys
import dense3d.registry
import mmdet.datasets, mmdet.evaluation, mmdet.models, mmdet.visualization, timm
"""


def run(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", START + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_mmdet_and_timm_does_without_them():
    assert run(f"print([name for name in {HEAVY} if name in sys.modules])").split("\n")[-2] == "[]"


def test_they_work_when_they_are_used_and_for_everybody_else():
    run("""
import numpy as np
from mmdet.registry import TASK_UTILS
from mmdet.datasets.transforms.generate_line import ImageAug
from mmdet.evaluation.metrics.culane_metric import interp
from mmdet.models.dense_heads import paa_head
from mmdet.visualization.local_visualizer import get_palette, random_color

track = np.array([[frame, 1, 10.0 + frame, 10, 20, 20, 1] for frame in (0, 1, 2, 5, 6, 7)])
filled = TASK_UTILS.build(dict(type="InterpolateTracklets", max_num_frames=9, use_gsi=True)).forward(track)
assert len(filled) == 8
resize = dict(name="Resize", parameters=dict(size=dict(height=8, width=8)), p=1.0)
augmented = ImageAug([resize]).pipeline(image=np.zeros((4, 4, 3), np.uint8))
assert augmented.shape == (8, 8, 3)
assert len(interp([(0, 0), (1, 2), (2, 3), (3, 5)], n=5)) > 4
assert paa_head.skm.GaussianMixture(2).n_components == 2

import imgaug.augmenters as iaa
import matplotlib.pyplot as plt
import sklearn
from sklearn.gaussian_process import GaussianProcessRegressor
from mmdet.models.task_modules.tracking import interpolation
assert sklearn is sys.modules["sklearn"] and type(iaa).__name__ == type(plt).__name__ == "module"
assert isinstance(GaussianProcessRegressor(), interpolation.GPR)
""")


@pytest.mark.parametrize("module", SELDOM_USED)
def test_the_table_names_modules_that_exist(module):
    install_mmcv_extension()
    assert importlib.util.find_spec(module) is not None


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Imports a module ``user_of_heavy`` of the given text, for which the package ``heavy`` is put off."""
    (tmp_path / "heavy" / "part").mkdir(parents=True)
    (tmp_path / "heavy" / "__init__.py").write_text("class Thing:\n    size = 3\n")
    (tmp_path / "heavy" / "part" / "__init__.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SELDOM_USED, "user_of_heavy", ("heavy", "missing_package"))
    monkeypatch.setitem(mmcv_imports.IMPORT_HOOKS, "user_of_heavy", deferred_imports.deferring)
    install_mmcv_extension()

    def load(text: str):
        (tmp_path / "user_of_heavy.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module("user_of_heavy")

    yield load
    for name in ("user_of_heavy", "heavy", "heavy.part"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ("import heavy", "heavy.Thing.size == 3"),
        ("import heavy as h", "h.Thing().size == 3"),
        ("import heavy.part", "heavy.part.double(2) == 4"),
        ("import heavy.part as p", "p.double(2) == 4"),
        ("from heavy import Thing as T, part", "T().size == 3 and part.double(2) == 4"),
        ("from heavy.part import double", "double(2) == 4"),
        ("from heavy import Thing", "not isinstance(3, Thing) and isinstance(Thing(), Thing)"),
    ],
)
def test_each_form_of_import(user, line, use):
    module = user(line)
    assert "heavy" not in sys.modules
    assert eval(use, vars(module))
    assert type(sys.modules["heavy"]).__name__ == "module"


def test_a_class_derives_from_the_real_one(user):
    assert user("from heavy import Thing\nclass Mine(Thing): ...\n").Mine.size == 3


def test_what_is_loaded_is_used_as_it_is(user):
    import heavy

    assert user("import heavy").heavy is heavy


def test_a_package_that_is_not_installed_is_missed_at_once(user):
    text = "try:\n    import missing_package\nexcept ImportError:\n    missing_package = None\n"
    assert user(text).missing_package is None
