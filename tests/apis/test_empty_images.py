"""Images without any object are samples like others: they give finite losses and gradients."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from dense3d.config import load_config
from dense3d.engine.channels import fill_channels
from dense3d.registry import MODELS


@pytest.mark.parametrize("system", ["dino", "detr"])
@pytest.mark.parametrize("objects", [(0, 0), (2, 0)], ids=["whole batch", "one image"])
def test_images_without_objects_train(repository, system, objects):
    from mmdet.structures import DetDataSample

    cfg = load_config(repository / f"configs/synthetic/{system}_r18_synthetic-coco.py")
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(fill_channels(cfg.model)).train()
    model.init_weights()  # mmdet leaves its level embedding in uninitialised memory until then
    samples = []
    for count in objects:
        boxes = torch.tensor([[4.0, 5, 30, 40], [20, 10, 60, 50]])[:count]
        sample = DetDataSample(metainfo=dict(img_shape=(64, 96), batch_input_shape=(64, 96)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(count))
        samples.append(sample)
    batch = dict(inputs=list(torch.full((2, 3, 64, 96), 90, dtype=torch.uint8)), data_samples=samples)
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total > 0
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
