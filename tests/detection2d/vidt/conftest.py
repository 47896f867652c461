"""A tiny ViDT, plain or ViDT+, and batches for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

BODY = dict(
    type="ReconfiguredSwin",
    arch=dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2)),
    num_det_tokens=12,
    pos_dim=32,
    window_size=4,
    drop_path_rate=0.0,
)
PLUS = dict(
    pyramid_fusion=True,
    mask_vectors=dict(num_coefficients=36, side=32),
    iou_aware=True,
    token_label=True,
)


@pytest.fixture
def build():
    """Function that builds a tiny detector; ``plus`` and keyword arguments change it, ``body`` its body."""
    from dense3d.registry import MODELS

    def function(plus=False, body=None, **changes):
        torch.manual_seed(0)
        config = dict(
            type="ViDT",
            backbone=BODY | (body or {}),
            num_classes=5,
            embed_dims=64,
            feedforward_channels=64,
            decoder_layers=2,
            dropout=0.0,
            **(PLUS if plus else {}),
        )
        return MODELS.build(config | changes)

    return function


@pytest.fixture
def body_config():
    """Config of the tiny body."""
    return dict(BODY)


@pytest.fixture
def build_free():
    """Function that builds the variant without a neck, on the same body."""
    from dense3d.detection2d.vidt import NeckFreeViDT

    def function():
        torch.manual_seed(0)
        return NeckFreeViDT(dict(BODY, last_merging=False), num_classes=5, embed_dims=64)

    return function


@pytest.fixture
def batch():
    """Function that gives images and data samples: numbers of boxes, batch size, sizes of the contents."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    def function(counts=(3, 1), size=(64, 96), contents=None, num_classes=5, masks=True):
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(len(counts), 3, *size, generator=generator)
        samples = []
        for index, count in enumerate(counts):
            height, width = contents[index] if contents else size
            images[index, :, height:], images[index, :, :, width:] = 0, 0
            corner = torch.rand(count, 2, generator=generator) * 0.5
            extent = torch.rand(count, 2, generator=generator) * 0.4 + 0.05
            boxes = torch.cat((corner, corner + extent), 1) * torch.tensor([width, height] * 2)
            labels = torch.randint(num_classes, (count,), generator=generator)
            sample = DetDataSample(metainfo=dict(img_shape=(height, width), scale_factor=(2.0, 2.0)))
            sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
            if masks:
                drawn = np.zeros((count, height, width), np.uint8)
                for mask, (x1, y1, x2, y2) in zip(drawn, boxes.round().int().tolist()):
                    mask[y1:y2, x1:x2] = 1
                sample.gt_instances.masks = BitmapMasks(drawn, height, width)
            samples.append(sample)
        return images, samples

    return function
