"""A network that gives NaN has a loss that is NaN, which training leaves out: nothing raises before it."""

from __future__ import annotations

import pytest

from tests.compatibility import HEADS, loss_of_nan, obstacle, tiny_backbones

BACKBONES = tiny_backbones()
MATCHED = (
    "DETR",
    "DETR (norms first)",
    "DINO",
    "Co-DINO",
    "Relation-DETR",
    "Relation-Deformable-DETR",
    "Mask2Former (panoptic)",
    "ECO-M2F",
    "kMaX-DeepLab",
    "MonoDETR",
    "MonoDINO-DETR",
)


@pytest.mark.parametrize("name", MATCHED)
def test_nan_reaches_the_loss_of_heads_that_match(name):
    fits = (config for config in BACKBONES.values() if obstacle(config, HEADS[name]) is None)
    assert loss_of_nan(next(fits), HEADS[name]).isnan()
