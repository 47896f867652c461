"""kMaX-DeepLab's training step in half precision."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from torch.nn.modules.batchnorm import _BatchNorm

from dense3d.registry import MODELS

SIZE = (65, 97)
CONFIG = dict(
    type="KMaXDeepLab",
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32)),
    num_classes=4,
    thing_classes=(0, 1),
    num_queries=6,
    pixel_decoder=dict(base_channels=(8, 8, 8, 8), num_blocks=(1, 1, 1, 1)),
    layers_per_map=(1, 1, 1),
    drop_path=0.0,
    # All pixels are taken: what is drawn does not matter.
    criterion=dict(discrimination_pixels=10_000, semantic_pixels=10_000),
)


def build() -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(CONFIG).train()
    model.semantic_head.aspp.dropout.p = 0.0
    for module in model.modules():  # branches that start at zero hide what lies behind them
        if isinstance(module, _BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    return model


def sample(things: int, stuff: tuple[int, ...]) -> DetDataSample:
    """Boxes of class 0 and stripes of stuff; the more, the more pixels are labelled."""
    masks = torch.zeros(things, *SIZE, dtype=torch.bool)
    for i in range(things):
        masks[i, 9 * i : 9 * i + 8, 4:40] = True
    classes = torch.full((1, *SIZE), 255)
    for i, label in enumerate(stuff):
        classes[:, 40 + 8 * i :] = label
    classes[:, masks.any(0)] = 0
    found = DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE))
    found.gt_instances = InstanceData(masks=masks, labels=torch.zeros(things, dtype=torch.long))
    found.gt_sem_seg = PixelData(sem_seg=classes)
    return found


def batch() -> tuple[torch.Tensor, list[DetDataSample]]:
    """Two images with very different numbers of segments and labelled pixels."""
    inputs = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    return inputs, [sample(4, (2, 3)), sample(1, ())]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("images", [1, 2])
def test_a_whole_step_under_autocast(dtype, images):
    """Odd size, norms in training, all decoder layers; a single image too."""
    model = build()
    inputs, samples = batch()
    with torch.autocast("cpu", dtype):
        losses = model(inputs[:images], samples[:images], mode="loss")
    total = sum(losses.values())
    total.backward()
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {
        f"loss_{term}_{layer}" for term in ("ce", "mask", "dice", "pixel_insdis") for layer in range(3)
    } < set(losses)
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())
