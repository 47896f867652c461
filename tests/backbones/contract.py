"""What every family of backbones promises, as checks that its tests call."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def check_sizes(backbone: nn.Module, height: int, width: int) -> None:
    """Maps of the announced channels, their sides rounded up."""
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(backbone.out_channels, backbone.out_strides)
    ]


def check_batch(backbone: nn.Module, height: int = 75, width: int = 101) -> None:
    """A batch gives what its images give one by one, maps and what a classifier sees."""
    images = torch.randn(3, 3, height, width)
    with torch.no_grad():
        together, alone = backbone(images), [backbone(image[None]) for image in images]
        embedded = [backbone.embed(images), torch.cat([backbone.embed(image[None]) for image in images])]
    for level, maps in enumerate(together):
        torch.testing.assert_close(maps, torch.cat([m[level] for m in alone]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(*embedded, rtol=1e-3, atol=1e-4)


def check_gradients(build: Callable[..., nn.Module], **selections) -> None:
    """Every trainable parameter gets a gradient."""
    for indices in selections.get("out_indices", ((0, 1, 2, 3), (1,))):
        backbone = build(out_indices=indices).train()
        sum(m.square().sum() for m in backbone(torch.randn(2, 3, 64, 96))).backward()
        missing = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []


def check_checkpointing(build: Callable[..., nn.Module]) -> None:
    """Recomputed activations change no gradient."""
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = build(with_cp=with_cp, drop_path_rate=0.3).train()
        torch.manual_seed(1)
        sum(m.square().sum() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
        gradients.append({n: p.grad for n, p in backbone.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def check_frozen(build: Callable[..., nn.Module]) -> None:
    """Frozen stages have no gradient, stay in evaluation mode and do not drop paths."""
    for frozen in range(len(build().channels) + 1):
        backbone = build(frozen_stages=frozen, drop_path_rate=0.5).train()
        assert not any(p.requires_grad for m in backbone.stem_modules() for p in m.parameters())
        images = torch.randn(2, 3, 64, 64)
        maps, again = backbone(images), backbone(images)
        assert [m.requires_grad for m in maps] == [i >= frozen for i in range(len(maps))]
        assert all(torch.equal(a, b) for a, b in zip(maps[:frozen], again[:frozen]))


def check_bfloat16(backbone: nn.Module, tolerance: float = 0.1) -> None:
    """Mixed precision gives finite maps close to those of float32, in relation to their deviation."""
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        whole = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            half = backbone(images)
    for a, b in zip(whole, half):
        assert b.isfinite().all()
        assert (a - b.float()).square().mean().sqrt() < tolerance * a.std()


def check_depths(backbone: nn.Module) -> None:
    """Depths for layer-wise decay: one a parameter, from 0 to what follows the last block."""
    ids = backbone.layer_ids()
    assert set(ids) == {name for name, _ in backbone.named_parameters()}
    assert set(ids.values()) <= set(range(backbone.num_layers + 2))
    assert {i for n, i in ids.items() if ".blocks." in n} == set(range(1, backbone.num_layers + 1))
    assert backbone.no_weight_decay() <= set(ids)


def check_starts(backbone: nn.Module) -> None:
    """Linear layers start with a deviation of 0.02 and no bias, norms with 1 and 0."""
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            deviation: Tensor = module.weight.std()
            assert 0.7 * 0.02 < deviation < 1.3 * 0.02
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)) and module.weight is not None:
            assert (module.weight == 1).all()
            assert not module.bias.any()
