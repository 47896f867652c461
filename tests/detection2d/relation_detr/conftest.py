"""A tiny Relation-DETR and batches for it."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData


@pytest.fixture
def build():
    """Function that builds a tiny detector; keyword arguments replace its defaults."""
    from dense3d.registry import MODELS

    def function(**changes):
        torch.manual_seed(0)
        config = dict(
            type="RelationDETR",
            backbone=dict(
                type="TimmBackbone", model_name="resnet18", out_strides=(8, 16, 32), freeze_norm=True
            ),
            neck=dict(
                type="mmdet.ChannelMapper",
                in_channels=[128, 256, 512],
                kernel_size=1,
                out_channels=32,
                act_cfg=None,
                norm_cfg=dict(type="GN", num_groups=8),
                num_outs=4,
            ),
            num_classes=5,
            num_queries=30,
            embed_dims=32,
            feedforward_channels=64,
            encoder_layers=1,
            decoder_layers=3,
            hybrid=dict(num_queries=40, assign=3),
            denoising=dict(num_queries=6),
            positional_encoding=dict(
                type="mmdet.SinePositionalEncoding", num_feats=16, normalize=True, offset=-0.5, eps=1e-6
            ),
            test_cfg=dict(max_per_img=20),
        )
        config.update(changes)
        return MODELS.build(config)

    return function


@pytest.fixture
def batch():
    """Function that gives images and data samples: numbers of boxes, batch size and content sizes."""
    from mmdet.structures import DetDataSample

    def function(counts=(3, 1), size=(96, 128), contents=None, num_classes=5):
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
            samples.append(sample)
        return images, samples

    return function
