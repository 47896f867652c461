"""A frozen backbone, of every family: nothing of it learns, and batches leave it as it is."""

from __future__ import annotations

import copy
import re

import pytest
import torch

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from tests.compatibility import tiny_backbones

FOUR_MAPS = 4  # of timm's networks, which take every number from there on for all maps


def test_every_family_can_be_frozen_whole():
    torch.manual_seed(0)
    images, kinds = torch.randn(2, 3, 64, 64), set()
    for name, config in tiny_backbones().items():
        kind = MODELS.get(config["type"].removeprefix("dense3d."))
        if not kind.__module__.startswith("dense3d.backbones."):
            continue  # adapters, around such a backbone
        stages = FOUR_MAPS
        if kind.__name__ != "TimmBackbone":
            with pytest.raises(ConfigError, match="frozen_stages=99") as error:
                MODELS.build(copy.deepcopy(config) | {"frozen_stages": 99})
            stages = int(re.search(r"(?:\.\.| to )(\d+)$", str(error.value))[1])
        backbone = MODELS.build(copy.deepcopy(config) | {"frozen_stages": stages}).train()
        learning = {n.split(".")[0] for n, p in backbone.named_parameters() if p.requires_grad}
        assert learning == ({"up"} if name == "CrossViT" else set()), name
        before = {n: value.clone() for n, value in backbone.named_buffers()}
        with torch.no_grad():
            maps, again = backbone(images), backbone(images)
        assert all(torch.equal(a, b) for a, b in zip(maps, again)), name
        assert all(torch.equal(value, before[n]) for n, value in backbone.named_buffers()), name
        kinds.add(kind.__name__)
    assert {"CoSwin", "CrossViT", "HyenaSwin", "RMT", "TimmBackbone", "VisionTransformer"} <= kinds
