"""Fixtures shared by all tests: where golden kits and real samples lie, and a quiet, bounded torch."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

# Modules that tests import; collecting them for doctests would import them a second time under another name.
collect_ignore = [
    *("engine/perfect.py", "engine/processes.py", "engine/tiny_training.py"),
    "detection3d/indoor/rooms.py",
    "losses/loss_file.py",
]

REPOSITORY = Path(__file__).resolve().parent.parent

# Two test workers share the machine: each gets its share of threads before torch or numba start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_sessionstart() -> None:
    """One backward pass before anything else, so that tests may fork.

    A fake tensor registers a stand-in for CUDA. A first backward pass after it starts a thread for that
    device, and torch refuses backward passes in processes forked from then on.
    """
    import torch

    torch.ones(1, requires_grad=True).sum().backward()


def pytest_collection_finish() -> None:
    """Leave what pytest has collected out of garbage collections: each data set that is built makes one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def frozen_before_each_file() -> None:
    """Leave what the files before have imported out of garbage collections, too."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of the golden kits that are part of the repository, in their compact form."""
    return REPOSITORY / "tests" / "golden" / "kits"


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Folder of the real data samples (``DENSE3D_SAMPLE_DATA``)."""
    folder = Path(os.environ.get("DENSE3D_SAMPLE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no sample data at {folder}; set DENSE3D_SAMPLE_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave ``slow`` tests out unless they are asked for by marker or environment."""
    if os.environ.get("DENSE3D_SLOW") or "slow" in (config.getoption("-m") or ""):
        return
    deselected = [item for item in items if "slow" in item.keywords]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if "slow" not in item.keywords]
