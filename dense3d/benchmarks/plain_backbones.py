"""Plain vision transformers beside timm's, and ViT-CoMer beside its straightforward composition."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from unittest import mock

import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from dense3d import ops
from dense3d.adapters import ViTCoMer
from dense3d.backbones import VisionTransformer
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.checkpoints import convert

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
SIZES = {"tiny": dict(embed_dim=192, num_heads=3), "small": dict(embed_dim=384, num_heads=6)}


def _vit(device: torch.device, batch: int, side: int, precision: str, depth: int = 12, **width) -> Workload:
    """Maps of the last block before the final norm."""
    torch.manual_seed(0)
    peer = TimmVisionTransformer(img_size=side, depth=depth, num_classes=0, **width)
    arch = dict(name="deit_tiny_patch16", depth=depth, pretrain_size=side, **width)
    ours = VisionTransformer(arch, final_norm=False)
    official = {name: value for name, value in peer.state_dict().items() if not name.startswith("norm.")}
    ours.load_state_dict(convert("deit", official))
    contenders = {
        OURS: lambda images: ours(images)[-1],
        "timm": lambda images: peer.forward_intermediates(images, indices=1, intermediates_only=True)[-1],
    }
    return _workload(device, batch, side, precision, (ours, peer), contenders)


def _vit_comer(
    device: torch.device, batch: int, side: int, precision: str, depth: int = 12, **width
) -> Workload:
    """The map of stride 4."""
    torch.manual_seed(0)
    arch = dict(name="deit_tiny_patch16", depth=depth, pretrain_size=side, **width)
    network = ViTCoMer(dict(arch=arch, prefix_tokens=False), stagewise=True)

    operator = "dense3d.layers.deformable_attention.multi_scale_deformable_attention"
    composition = partial(ops.multi_scale_deformable_attention, backend="reference")

    def composed(images: Tensor) -> Tensor:
        with mock.patch(operator, composition):
            return network(images)[0]

    contenders = {OURS: lambda images: network(images)[0], "composed": composed}
    return _workload(device, batch, side, precision, (network,), contenders)


def _workload(
    device: torch.device,
    batch: int,
    side: int,
    precision: str,
    networks: tuple[nn.Module, ...],
    contenders: dict[str, Callable[[Tensor], Tensor]],
) -> Workload:
    for network in networks:
        network.to(device).train()
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    dtype = PRECISIONS[precision]

    def at_precision(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(images: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext():
                return function(images)

        return call

    timed = {name: at_precision(function) for name, function in contenders.items()}
    return Workload((images,), timed, leaves=(0,), images=batch)


def _sizes(size: str, batch: int) -> dict[str, dict]:
    return {
        f"{batch} images of 224, {precision}": dict(batch=batch, side=224, precision=precision, **SIZES[size])
        for precision in PRECISIONS
    }


_TINY = dict(batch=1, side=64, precision="float32", depth=4, embed_dim=24, num_heads=3)
PLAIN_CASES = [
    Case("ViT-T", _vit, _sizes("tiny", batch=4), _TINY),
    Case("ViT-S", _vit, _sizes("small", batch=4), _TINY),
    Case("ViT-CoMer-T", _vit_comer, _sizes("tiny", batch=2), _TINY),
]
