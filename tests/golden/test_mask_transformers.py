"""kMaX-DeepLab, Mask2Former and ECO-M2F against their official implementations: every public kit."""

from __future__ import annotations

import pytest

from tests.golden import verify_kit

KITS = (
    "eco-m2f",
    "kmax-deeplab-convnext",
    "kmax-deeplab-layer",
    "kmax-deeplab-loss",
    "kmax-deeplab-postprocess",
    "kmax-deeplab-r50",
    "mask2former-loss",
    "mask2former-postprocess",
    "mask2former-r50",
    "mask2former-swin-t",
)


@pytest.mark.parametrize("kit", KITS)
def test_kit(golden_dir, kit):
    failures = [str(row) for row in verify_kit(golden_dir / kit) if not row.passed]
    assert failures == []
