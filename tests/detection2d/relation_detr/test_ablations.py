"""The ablation configs: each changes its own part, leaves everything else, and trains."""

from __future__ import annotations

import pytest
import torch

from dense3d.apis import build_model
from dense3d.config import load_config

WHOLE = "relation-detr_r50_5xb2-12e_coco"
CHANGED = {
    f"{WHOLE}_without-relation": {"relation"},
    f"{WHOLE}_without-hybrid": {"hybrid"},
    f"{WHOLE}_without-fusion": {"memory_fusion"},
    f"{WHOLE}_without-query-scale": {"query_scale"},
    f"{WHOLE}_focal-loss": {"criterion"},
    "dino-pp_r50_5xb2-12e_coco": {"hybrid", "memory_fusion", "query_scale", "criterion"},
}


def load(repository, name: str, options: dict | None = None) -> dict:
    return load_config(repository / f"configs/relation_detr/{name}.py", options).to_dict()


@pytest.mark.parametrize("name", CHANGED)
def test_ablation_changes_its_part_alone(repository, name):
    whole, ablation = load(repository, WHOLE), load(repository, name)
    model, changed = whole.pop("model"), ablation.pop("model")
    assert ablation == whole
    keys = model.keys() | changed.keys()
    assert {key for key in keys if model.get(key, "default") != changed.get(key, "default")} == CHANGED[name]


@pytest.mark.parametrize("name", [WHOLE, *CHANGED])
def test_ablation_trains_a_step(repository, name, batch):
    config = load(repository, name)["model"]
    config["backbone"] |= dict(model_name="resnet18", pretrained=False)
    config |= dict(num_queries=20, encoder_layers=1, decoder_layers=2, feedforward_channels=64)
    if config["hybrid"]:
        config["hybrid"]["num_queries"] = 30
    torch.manual_seed(0)
    model = build_model(config)
    losses = model.loss(*batch())
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
