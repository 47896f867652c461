"""What lies beside the whole kits, for whoever has them (``DENSE3D_GOLDEN``): the format's own code.

The kits themselves are run by ``test_committed_kits.py``, in place of their compact forms.
"""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest

from tests.golden import verify_kit
from tests.golden.kit import GoldenKit, align, seeded_array
from tests.golden.whole import FOLDER, SLOW

if not FOLDER.is_dir():
    pytest.skip(f"no golden kits at {FOLDER}; set DENSE3D_GOLDEN to verify them", allow_module_level=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_slow_checks(name):
    rows = [row for row in verify_kit(FOLDER / name) if row.check in SLOW[name]]
    assert rows
    assert [str(row) for row in rows if not row.passed] == []


@pytest.fixture(scope="module")
def definition():
    """The format's own definition."""
    file = FOLDER / "goldenkit.py"
    if not file.exists():
        pytest.skip(f"{file} not found")
    spec = importlib.util.spec_from_file_location("goldenkit_definition", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_seeded_arrays_are_those_of_the_definition(definition):
    kinds = ("a.weight", "a.gamma", "a.scale", "a.bias", "bn.running_var", "bn.running_mean", "table", "w")
    shapes = [(), (5,), (3, 4), (2, 3, 1, 5), (0, 3), (3, 0)]
    dtypes = ("float32", "float64", "float16", "int64", "bool")
    for arguments in itertools.product(kinds, shapes, dtypes):
        mine, theirs = seeded_array(*arguments), definition.seeded_array(*arguments)
        np.testing.assert_array_equal(mine, theirs, strict=True)


def test_checkpoints_are_those_of_the_definition(definition):
    """Of a kit with stored and with scaled values."""
    kit, theirs = GoldenKit(FOLDER / "swin"), definition.GoldenKit(FOLDER / "swin")
    assert kit.meta["keep"]
    assert kit.meta["scale"]
    mine, theirs = kit.state_dict(), theirs.state_dict()
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value, strict=True)


def test_align_is_that_of_the_definition(definition):
    def attempt(function, full, stored):
        try:
            return function(full, stored)
        except ValueError:
            return None

    generator = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(generator.integers(1, 12, generator.integers(1, 4)))
        full = generator.standard_normal(shape)
        starts, steps = generator.integers(0, 3, len(shape)), generator.integers(1, 5, len(shape))
        stored = full[tuple(slice(min(a, n - 1), None, k) for a, k, n in zip(starts, steps, shape))]
        stored = full.reshape(-1)[:: generator.integers(1, 6)] if generator.random() < 0.3 else stored
        stored = stored + (generator.random() < 0.3) * generator.standard_normal(stored.shape)
        np.testing.assert_array_equal(
            attempt(align, full, stored), attempt(definition.align, full, stored), strict=True
        )
