"""What Point-MAE's official training does otherwise: its schedule, its two steps, its weight decay."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper

from dense3d.config import load_config
from dense3d.config.shipped import shipped_folder
from dense3d.engine.point_mae_training import LateCosineLR, TwoStepOptimWrapper
from dense3d.pointcloud import PointClassifier


def rates(count: int, base: float = 1e-3, **settings) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    schedule, found = LateCosineLR(optimizer, **settings), []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_rates_are_an_epoch_late():
    found = rates(305, total=300)
    assert found[0] == found[1] == 1e-6
    assert found[2] == pytest.approx(1e-6 + (1e-3 - 1e-6) / 10)
    half = 0.5 * (1e-3 - 1e-6)
    assert found[11] == pytest.approx(1e-6 + half * (1 + math.cos(math.pi * 10 / 300)))
    assert found[300] == pytest.approx(1e-6 + half * (1 + math.cos(math.pi * 299 / 300)))
    assert found[301] == found[304] == 1e-6


def test_a_schedule_goes_on_from_its_state():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = LateCosineLR(optimizer, total=20, warmup=4)
    for _ in range(7):
        optimizer.step()
        schedule.step()
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    resumed = LateCosineLR(other, total=20, warmup=4)
    resumed.load_state_dict(schedule.state_dict())
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == rates(9, base=1.0, total=20, warmup=4)[8]


def test_two_steps_on_one_gradient():
    def after(kind) -> float:
        weight = torch.zeros(1, requires_grad=True)
        wrapper = kind(torch.optim.SGD([weight], lr=1.0), clip_grad=dict(max_norm=1.0))
        wrapper.update_params(5 * weight.sum())
        return weight.item()

    assert after(OptimWrapper) == pytest.approx(-1)  # clipped to 1
    assert after(TwoStepOptimWrapper) == pytest.approx(-6)  # 5 as it is, then 1


def test_what_has_no_weight_decay():
    cfg = load_config(shipped_folder() / "point_mae/point-mae_pt-s_1xb32-300e_modelnet40-1k.py")
    small = dict(embed_dim=24, depth=1, num_heads=2, num_groups=8, group_size=4)
    model = PointClassifier(small, num_classes=5)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decays = {id(p): group["weight_decay"] for group in wrapper.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        spared = parameter.ndim == 1 or name.endswith(".bias") or "token" in name
        assert decays[id(parameter)] == (0 if spared else 0.05), name
    assert decays[id(model.backbone.cls_pos)] == 0.05
