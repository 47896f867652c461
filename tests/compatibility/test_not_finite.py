"""A network that gives NaN has a loss that is NaN, which training leaves out: nothing raises before it."""

from __future__ import annotations

import pytest

from tests.compatibility import heads, loss_of_nan, obstacle, tiny_backbones

MATCHED = (
    "DETR",
    "PreNormDETR",
    "DINO",
    "CoDINO",
    "RelationDETR",
    "RelationDeformableDETR",
    "Mask2Former",
    "ECOM2F",
    "KMaXDeepLab",
    "MonoDETR",
    "MonoDINODETR",
)


@pytest.mark.parametrize("name", MATCHED)
def test_nan_reaches_the_loss_of_heads_that_match(name):
    head = heads()[name]
    fits = (config for config in tiny_backbones().values() if obstacle(config, head) is None)
    assert loss_of_nan(next(fits), head).isnan()
