"""Suite ``backbones``: backbones beside timm's and torchvision's of the same network.

All contenders of a case have the same weights and compute the same last map. Swin runs at sizes whose maps
are whole windows: at others timm computes something else. ViT-CoMer is timed beside itself with deformable
attention composed of ``grid_sample``.
"""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
import torchvision
from timm.models import convnext as timm_convnext
from timm.models import focalnet as timm_focalnet
from timm.models import swin_transformer as timm_swin
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from dense3d import ops
from dense3d.adapters import ViTCoMer
from dense3d.backbones import ConvNeXt, FocalNet, Swin, VisionTransformer
from dense3d.backbones.convnext import ARCHITECTURES as CONVNEXTS
from dense3d.backbones.swin import ARCHITECTURES
from dense3d.benchmarks.backbone_families import CASES as FAMILIES
from dense3d.benchmarks.image_workloads import image_workload, last_map, sizes_at_precisions
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.checkpoints import convert

SIZES = {"tiny": dict(embed_dim=192, num_heads=3), "small": dict(embed_dim=384, num_heads=6)}
_TINY = dict(batch=1, side=64, precision="float32", depth=4, embed_dim=24, num_heads=3)
TINY_SWIN = dict(embed_dim=16, depths=(2, 2, 2), num_heads=(2, 2, 4))
TINY_CONVNEXT = dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 1))
TINY_FOCAL = dict(embed_dim=8, depths=(1, 1, 1, 1))


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


PLAIN_CASES = [
    Case("ViT-T", _vit, sizes_at_precisions(4, **SIZES["tiny"]), _TINY),
    Case("ViT-S", _vit, sizes_at_precisions(4, **SIZES["small"]), _TINY),
    Case("ViT-CoMer-T", _vit_comer, sizes_at_precisions(2, **SIZES["tiny"]), _TINY),
]


def _workload(
    device: torch.device, batch: int, side: int, precision: str, networks: dict[str, nn.Module]
) -> Workload:
    contenders = {name: last_map(network) for name, network in networks.items()}
    return image_workload(device, batch, side, precision, tuple(networks.values()), contenders)


def _swin(device: torch.device, arch: dict, window: int, batch: int, side: int, precision: str) -> Workload:
    torch.manual_seed(0)
    stages = range(len(arch["depths"]))
    settings = dict(output_norm=False, drop_path_rate=0.0, shift_small_maps=False)
    ours = Swin(arch, window_size=window, out_indices=stages, **settings)
    of_timm = timm_swin.SwinTransformer(
        img_size=side, window_size=window, num_classes=0, drop_path_rate=0.0, **arch
    )
    of_torchvision = torchvision.models.SwinTransformer(
        [4, 4],
        arch["embed_dim"],
        list(arch["depths"]),
        list(arch["num_heads"]),
        [window] * 2,
        stochastic_depth_prob=0.0,
    )
    ours.load_state_dict(convert("swin-timm", of_timm.state_dict()))
    official = convert("swin-torchvision", {n: n for n in of_torchvision.state_dict()})
    state = of_torchvision.state_dict()
    state |= {theirs: ours.state_dict()[name] for name, theirs in official.items()}
    of_torchvision.load_state_dict(state)
    return _workload(
        device, batch, side, precision, {OURS: ours, "timm": of_timm, "torchvision": of_torchvision}
    )


def _convnext(
    device: torch.device, arch: dict, version: int, batch: int, side: int, precision: str
) -> Workload:
    torch.manual_seed(0)
    scale = dict(use_grn=True, ls_init_value=None) if version == 2 else dict(ls_init_value=1.0)
    peer = timm_convnext.ConvNeXt(num_classes=0, **arch, **scale)
    ours = ConvNeXt(arch, version, output_norm="none")
    ours.load_state_dict(convert("convnext", peer.state_dict()))
    return _workload(device, batch, side, precision, {OURS: ours, "timm": peer})


def _focalnet(device: torch.device, arch: dict, batch: int, side: int, precision: str) -> Workload:
    torch.manual_seed(0)
    peer = timm_focalnet.FocalNet(num_classes=0, drop_path_rate=0.0, **arch)
    ours = FocalNet(arch, drop_path_rate=0.0)
    for index in range(len(ours.channels)):
        delattr(ours, f"norm{index}")  # timm has no output norms
    ours.load_state_dict(convert("focalnet", peer.state_dict()))
    return _workload(device, batch, side, precision, {OURS: ours, "timm": peer})


CASES = [
    Case(
        "Swin-T",
        _swin,
        sizes_at_precisions(4, arch=ARCHITECTURES["tiny"], window=7),
        dict(arch=TINY_SWIN, window=4, batch=1, side=64, precision="float32"),
    ),
    Case(
        "ConvNeXt-T",
        _convnext,
        sizes_at_precisions(4, arch=CONVNEXTS[1]["tiny"], version=1),
        dict(arch=TINY_CONVNEXT, version=1, batch=1, side=64, precision="float32"),
    ),
    Case(
        "ConvNeXt V2-T",
        _convnext,
        sizes_at_precisions(4, arch=CONVNEXTS[2]["tiny"], version=2),
        dict(arch=TINY_CONVNEXT, version=2, batch=1, side=64, precision="float32"),
    ),
    Case(
        "FocalNet-T",
        _focalnet,
        sizes_at_precisions(4, arch=dict(embed_dim=96, depths=(2, 2, 6, 2))),
        dict(arch=TINY_FOCAL, batch=1, side=64, precision="float32"),
    ),
    *PLAIN_CASES,
    *FAMILIES,
]
