"""Relation-DETR against its official implementation: every public kit."""

from __future__ import annotations

import pytest

from tests.golden import verify_kit

PARTS = (
    "",
    "-criterion",
    "-decoder",
    "-denoising",
    "-dinopp",
    "-focalnet",
    "-msda",
    "-postprocess",
    "-relation",
    "-swin",
    "-train",
)


@pytest.mark.parametrize("part", PARTS)
def test_kit(golden_dir, part):
    failures = [str(row) for row in verify_kit(golden_dir / f"relation-detr{part}") if not row.passed]
    assert failures == []
