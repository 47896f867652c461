"""Plain vision transformers beside timm's, and ViT-CoMer beside its straightforward composition."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor

from dense3d import ops
from dense3d.adapters import ViTCoMer
from dense3d.backbones import VisionTransformer
from dense3d.benchmarks.image_workload import image_workload, sizes_at_precisions
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.checkpoints import convert

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
    return image_workload(device, batch, side, precision, (ours, peer), contenders)


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
    return image_workload(device, batch, side, precision, (network,), contenders)


_TINY = dict(batch=1, side=64, precision="float32", depth=4, embed_dim=24, num_heads=3)
PLAIN_CASES = [
    Case("ViT-T", _vit, sizes_at_precisions(4, **SIZES["tiny"]), _TINY),
    Case("ViT-S", _vit, sizes_at_precisions(4, **SIZES["small"]), _TINY),
    Case("ViT-CoMer-T", _vit_comer, sizes_at_precisions(2, **SIZES["tiny"]), _TINY),
]
