"""Where fpsample has no wheel, nerfstudio imports all the same and chooses cameras as with the package."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dense3d import fpsample_stand_in
from dense3d.fpsample_stand_in import bucket_fps_kdline_sampling


@pytest.mark.skipif(find_spec("fpsample") is None, reason="fpsample has no wheel for this Python")
@pytest.mark.parametrize(("number", "dimensions", "samples"), [(40, 4, 40), (500, 3, 60), (300, 4, 17)])
def test_the_package_chooses_the_same_points(number: int, dimensions: int, samples: int) -> None:
    import fpsample

    points = np.random.default_rng(number).normal(size=(number, dimensions)).astype(np.float32)
    for start in (0, number // 2):
        found = bucket_fps_kdline_sampling(points, samples, h=3, start_idx=start)
        assert found.tolist() == fpsample.fps_sampling(points, samples, start_idx=start).tolist()
        # The package's function of the same name starts at another point than it is told.
        theirs = fpsample.bucket_fps_kdline_sampling(points, samples, h=3, start_idx=start)
        found = bucket_fps_kdline_sampling(points, samples, h=3, start_idx=int(theirs[0]))
        assert found.dtype == theirs.dtype
        assert found.tolist() == theirs.tolist()


def test_the_start_follows_numpys_seed_as_in_the_package() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    np.random.seed(3)
    first = bucket_fps_kdline_sampling(points, 5, h=3)
    np.random.seed(3)
    assert first[0] == np.random.randint(low=0, high=50)


def test_equal_points_are_chosen_once() -> None:
    found = bucket_fps_kdline_sampling(np.ones((6, 3)), 6, h=1, start_idx=2)
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("samples", "start", "message"), [(0, None, "n_samples=0"), (3, 9, "start_idx=9")])
def test_bad_arguments_are_named(samples: int, start: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bucket_fps_kdline_sampling(np.zeros((4, 3)), samples, h=1, start_idx=start)


def test_what_it_does_not_have_says_so() -> None:
    with pytest.raises(AttributeError, match=r"fpsample\.fps_sampling is not there: .* Python 3\.12"):
        fpsample_stand_in.fps_sampling  # noqa: B018


@pytest.mark.skipif(find_spec("nerfstudio") is None, reason="needs the extra nerf")
def test_nerfstudio_imports_without_the_package(repository: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fpsample':\n"
        "            raise ModuleNotFoundError(\"No module named 'fpsample'\", name='fpsample')\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'fpsample' else find(name, *a)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from dense3d.optional import require\n"
        "require('nerfstudio.data.datamanagers.full_images_datamanager')\n"
        "require('nerfstudio.data.dataparsers.nerfstudio_dataparser')\n"
        "print(sys.modules['fpsample'].__name__)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith("dense3d.fpsample_stand_in")
