"""Suite ``backbones``: backbones beside timm's and torchvision's of the same network.

All contenders of a case have the same weights and compute the same last map. Swin runs at sizes whose maps
are whole windows: at others timm computes something else. ViT-CoMer is timed beside itself with deformable
attention composed of ``grid_sample``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from timm.models import convnext as timm_convnext
from timm.models import focalnet as timm_focalnet
from timm.models import swin_transformer as timm_swin
from torch import Tensor, nn

from dense3d.backbones import ConvNeXt, FocalNet, Swin
from dense3d.backbones.convnext import ARCHITECTURES as CONVNEXTS
from dense3d.backbones.swin import ARCHITECTURES
from dense3d.benchmarks.image_workload import image_workload, sizes_at_precisions
from dense3d.benchmarks.plain_backbones import PLAIN_CASES
from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.checkpoints import convert

TINY_SWIN = dict(embed_dim=16, depths=(2, 2, 2), num_heads=(2, 2, 4))
TINY_CONVNEXT = dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 1))
TINY_FOCAL = dict(embed_dim=8, depths=(1, 1, 1, 1))


def _last_map(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function of images to its last map."""
    if hasattr(network, "forward_intermediates"):
        return lambda images: network.forward_intermediates(images, intermediates_only=True)[-1]
    if isinstance(network, torchvision.models.SwinTransformer):
        return lambda images: network.features(images).permute(0, 3, 1, 2)
    return lambda images: network(images)[-1]


def _workload(
    device: torch.device, batch: int, side: int, precision: str, networks: dict[str, nn.Module]
) -> Workload:
    contenders = {name: _last_map(network) for name, network in networks.items()}
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
]
