"""Operators on feature maps and logits, against torchvision, torch and kornia."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from dense3d import ops
from dense3d.benchmarks.ops_boxes import make_boxes, make_rotated
from dense3d.benchmarks.timing import OURS, Case, Workload

STRIDE = 8


def roi_align(device: torch.device, number: int, channels: int = 256) -> Workload:
    def peer(x: Tensor, rois: Tensor) -> Tensor:
        return torchvision.ops.roi_align(x, rois, 7, 1 / STRIDE, 2, aligned=True)

    contenders = {OURS: lambda x, rois: ops.roi_align(x, rois, 7, 1 / STRIDE, 2), "torchvision": peer}
    return Workload(_regions(device, number, channels), contenders, leaves=(0,))


def roi_pool(device: torch.device, number: int, channels: int = 256) -> Workload:
    """Boxes on whole feature pixels, for which torchvision, which rounds them, gives the same."""
    x, rois = _regions(device, number, channels)
    rois = torch.cat([rois[:, :1], (rois[:, 1:] / STRIDE).round()], 1)
    contenders = {
        OURS: lambda x, rois: ops.roi_pool(x, rois, 7),
        "torchvision": lambda x, rois: torchvision.ops.roi_pool(x, rois, 7),
    }
    return Workload((x, rois), contenders, leaves=(0,))


def roi_align_rotated(device: torch.device, number: int, channels: int = 256) -> Workload:
    x, _ = _regions(device, number, channels)
    rois = torch.cat([torch.zeros(number, 1), make_rotated(number)[0]], 1).to(device)
    contenders = {OURS: lambda x, rois: ops.roi_align_rotated(x, rois, 7, 1 / STRIDE, 2)}
    return Workload((x, rois), contenders, leaves=(0,))


def deform_roi_pool(device: torch.device, number: int, channels: int = 256) -> Workload:
    x, rois = _regions(device, number, channels)
    offset = torch.randn(number, 2, 7, 7, generator=torch.Generator().manual_seed(1)).to(device)
    contenders = {
        OURS: lambda x, rois, offset: ops.deform_roi_pool(x, rois, offset, 7, 1 / STRIDE, 2),
    }
    return Workload((x, rois, offset), contenders, leaves=(0, 2))


def _regions(device: torch.device, number: int, channels: int) -> tuple[Tensor, Tensor]:
    """Features (1, C, 100, 100) of an 800 x 800 image and boxes in it (N, 5)."""
    x = torch.randn(1, channels, 100, 100, generator=torch.Generator().manual_seed(0))
    rois = torch.cat([torch.zeros(number, 1), make_boxes(number)[0].clamp(0, 799)], 1)
    return x.to(device), rois.to(device)


def deform_conv2d(device: torch.device, channels: int, side: int, modulated: bool = False) -> Workload:
    """A 3 x 3 convolution whose taps are displaced by about two pixels."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, channels, side, side, generator=random)
    offset = torch.randn(1, 18, side, side, generator=random) * 2
    weight = torch.randn(channels, channels, 3, 3, generator=random) / channels
    mask = [torch.rand(1, 9, side, side, generator=random)] if modulated else []
    inputs = tuple(tensor.to(device) for tensor in (x, offset, weight, *mask))

    def ours(x: Tensor, offset: Tensor, weight: Tensor, *mask: Tensor) -> Tensor:
        if mask:
            return ops.modulated_deform_conv2d(x, offset, mask[0], weight, padding=1)
        return ops.deform_conv2d(x, offset, weight, padding=1)

    def peer(x: Tensor, offset: Tensor, weight: Tensor, *mask: Tensor) -> Tensor:
        return torchvision.ops.deform_conv2d(x, offset, weight, padding=1, mask=mask[0] if mask else None)

    return Workload(inputs, {OURS: ours, "torchvision": peer}, leaves=tuple(range(len(inputs))))


def modulated_deform_conv2d(device: torch.device, channels: int, side: int) -> Workload:
    return deform_conv2d(device, channels, side, modulated=True)


def carafe(device: torch.device, channels: int, side: int) -> Workload:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, channels, side, side, generator=random)
    masks = torch.rand(1, 25, 2 * side, 2 * side, generator=random).softmax(1)
    contenders = {OURS: lambda x, masks: ops.carafe(x, masks, 5, 1, 2)}
    return Workload((x.to(device), masks.to(device)), contenders, leaves=(0, 1))


def masked_conv2d(device: torch.device, channels: int, side: int) -> Workload:
    """A tenth of the positions is asked for; the peer convolves everywhere."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, channels, side, side, generator=random)
    weight = torch.randn(channels, channels, 3, 3, generator=random) / channels
    mask = (torch.rand(1, side, side, generator=random) < 0.1).float()
    contenders = {
        OURS: lambda x, mask, weight: ops.masked_conv2d(x, mask, weight, padding=1),
        "torch, dense": lambda x, mask, weight: F.conv2d(x, weight, padding=1) * mask[:, None],
    }
    return Workload((x.to(device), mask.to(device), weight.to(device)), contenders)


def psa_mask(device: torch.device, side: int) -> Workload:
    size = 2 * side - 1
    x = torch.randn(2, size * size, side, side, generator=torch.Generator().manual_seed(0))
    return Workload((x.to(device),), {OURS: lambda x: ops.psa_mask(x, "collect", (size, size))}, leaves=(0,))


def point_sample(device: torch.device, points: int, channels: int) -> Workload:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(2, channels, 100, 100, generator=random)
    positions = torch.rand(2, points, 2, generator=random)

    def peer(features: Tensor, positions: Tensor) -> Tensor:
        return F.grid_sample(features, 2 * positions[:, :, None] - 1, align_corners=False)[..., 0]

    contenders = {OURS: ops.point_sample, "torch, grid_sample": peer}
    return Workload((features.to(device), positions.to(device)), contenders, leaves=(0,))


def sigmoid_focal_loss(device: torch.device, number: int, classes: int = 80) -> Workload:
    def peer(logits: Tensor, target: Tensor) -> Tensor:
        one_hot = F.one_hot(target, classes + 1)[:, :classes].to(logits)
        return torchvision.ops.sigmoid_focal_loss(logits, one_hot, 0.25, 2.0, "sum") / len(target)

    contenders = {OURS: ops.sigmoid_focal_loss, "torchvision": peer}
    return Workload(_logits(device, number, classes), contenders, leaves=(0,))


def softmax_focal_loss(device: torch.device, number: int, classes: int = 80) -> Workload:
    def peer(logits: Tensor, target: Tensor) -> Tensor:
        from kornia.losses import focal_loss

        return focal_loss(logits, target, alpha=None, gamma=2.0, reduction="sum") * 0.25 / len(target)

    inputs = _logits(device, number, classes)
    contenders = {OURS: ops.softmax_focal_loss, "kornia": peer}
    return Workload((inputs[0], inputs[1] % classes), contenders, leaves=(0,))


def _logits(device: torch.device, number: int, classes: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(number, classes, generator=random)
    return logits.to(device), torch.randint(classes + 1, (number,), generator=random).to(device)


_REGIONS, _TINY_REGIONS = {"500 boxes, 256 channels": {"number": 500}}, {"number": 5, "channels": 2}
_MAP, _TINY_MAP = {"64 channels, 64 x 64": {"channels": 64, "side": 64}}, {"channels": 4, "side": 7}
_LOGITS, _TINY_LOGITS = {"20,000 x 80 logits": {"number": 20_000}}, {"number": 6, "classes": 3}
CASES = [
    Case("roi_align", roi_align, _REGIONS, _TINY_REGIONS),
    Case("roi_pool", roi_pool, {"100 boxes, 64 channels": {"number": 100, "channels": 64}}, _TINY_REGIONS),
    Case("roi_align_rotated", roi_align_rotated, _REGIONS, _TINY_REGIONS),
    Case("deform_roi_pool", deform_roi_pool, _REGIONS, _TINY_REGIONS),
    Case("deform_conv2d", deform_conv2d, _MAP, _TINY_MAP),
    Case("modulated_deform_conv2d", modulated_deform_conv2d, _MAP, _TINY_MAP),
    Case("carafe", carafe, _MAP, _TINY_MAP),
    Case("masked_conv2d", masked_conv2d, _MAP, _TINY_MAP),
    Case("psa_mask", psa_mask, {"2 images, 30 x 30": {"side": 30}}, {"side": 4}),
    Case(
        "point_sample",
        point_sample,
        {"2 images, 12,544 points, 256 channels": {"points": 12_544, "channels": 256}},
        {"points": 5, "channels": 3},
    ),
    Case("sigmoid_focal_loss", sigmoid_focal_loss, _LOGITS, _TINY_LOGITS),
    Case("softmax_focal_loss", softmax_focal_loss, _LOGITS, _TINY_LOGITS),
]
