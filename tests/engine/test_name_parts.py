"""Parameter groups by parts of names."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from dense3d.engine.optim import NamePartsOptimWrapperConstructor
from dense3d.errors import ConfigError


def model() -> nn.Module:
    net = nn.Module()
    net.backbone = nn.ModuleDict(
        {"conv": nn.Conv2d(1, 1, 1), "norm1": nn.LayerNorm(2), "stem": nn.Conv2d(1, 1, 1)}
    )
    net.backbone["stem"].requires_grad_(False)
    net.sampling_offsets, net.head = nn.Linear(2, 2), nn.Linear(2, 2)
    return net


def construct(**paramwise) -> OptimWrapper:
    config = dict(type=OptimWrapper, optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.5))
    return NamePartsOptimWrapperConstructor(config, paramwise)(model())


def test_every_fitting_rule_holds():
    keys = {
        "backbone": dict(lr_mult=0.1),
        "sampling_offsets": dict(lr_mult=0.1),
        "norm": dict(decay_mult=0.0),
        "bias": dict(decay_mult=0.0),
    }
    groups = construct(custom_keys=keys).optimizer.param_groups
    found = {(g["lr"], g["weight_decay"]): sorted(tuple(p.shape) for p in g["params"]) for g in groups}
    assert found == {
        (0.1, 0.5): [(1, 1, 1, 1), (2, 2)],  # backbone.conv.weight, sampling_offsets.weight
        (0.1, 0.0): [(1,), (2,), (2,), (2,)],  # their biases, the backbone's norm
        (1.0, 0.5): [(2, 2)],
        (1.0, 0.0): [(2,)],
    }


def test_a_star_in_a_key_stands_for_anything():
    keys = {"backbone.*.bias": dict(decay_mult=0.0), "backbone.*norm*.weight": dict(decay_mult=0.0)}
    groups = construct(custom_keys=keys).optimizer.param_groups
    found = {g["weight_decay"]: sorted(tuple(p.shape) for p in g["params"]) for g in groups}
    assert found == {0.5: [(1, 1, 1, 1), (2,), (2,), (2, 2), (2, 2)], 0.0: [(1,), (2,), (2,)]}


def test_frozen_parameters_stay_out():
    groups = construct(custom_keys={"head": dict(lr_mult=2.0)}).optimizer.param_groups
    assert sum(p.numel() for g in groups for p in g["params"]) == 1 + 1 + 4 + 6 + 6


def test_other_factors_are_refused():
    with pytest.raises(ConfigError, match="dwconv_decay_mult"):
        construct(custom_keys={"head": dict(dwconv_decay_mult=0.0)})
    with pytest.raises(ConfigError, match="bias_decay_mult"):
        construct(bias_decay_mult=0.0)


def test_norms_are_known_by_their_kind():
    """Whatever they are called: here a number in a Sequential."""
    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d, nn.LayerNorm, nn.RMSNorm)
    norms = nn.Sequential(*(k(2, affine=True) if "Inst" in k.__name__ else k(2) for k in kinds))
    net = nn.Sequential(nn.Conv2d(1, 2, 1), norms, nn.GroupNorm(1, 2))
    config = dict(type=OptimWrapper, optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.5))
    rules = dict(custom_keys={"0.": dict(lr_mult=0.1)}, norm_decay_mult=0.0)
    groups = NamePartsOptimWrapperConstructor(config, rules)(net).optimizer.param_groups
    decayed = {id(p) for g in groups if g["weight_decay"] > 0 for p in g["params"]}
    assert decayed == {id(p) for p in net[0].parameters()}
    slow = {id(p) for g in groups if g["lr"] == 0.1 for p in g["params"]}
    assert slow == {id(p) for p in (*net[0].parameters(), *norms[0].parameters())}  # both rules hold


def test_parameters_are_trained():
    wrapper = construct(custom_keys={"head": dict(lr_mult=2.0)})
    parameter = wrapper.optimizer.param_groups[0]["params"][0]
    before = parameter.detach().clone()
    wrapper.update_params(parameter.sum())
    assert not torch.equal(before, parameter)
