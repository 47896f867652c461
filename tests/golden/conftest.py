"""Kits that differ from those of the repository."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.golden.kit import GoldenKit


@pytest.fixture
def edited(golden_dir, tmp_path):
    """A copy of a kit whose ``kit.json`` a function has changed."""

    def edit(name: str, change) -> GoldenKit:
        folder = tmp_path / name
        folder.mkdir()
        meta = json.loads((golden_dir / name / "kit.json").read_text())
        change(meta)
        (folder / "kit.json").write_text(json.dumps(meta))
        shutil.copyfile(golden_dir / name / "tensors.npz", folder / "tensors.npz")
        return GoldenKit(folder)

    return edit
