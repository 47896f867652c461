"""Images without any object are samples like others: they give finite losses and gradients."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData

from dense3d.apis import build_model
from dense3d.config import load_config


@pytest.mark.parametrize("system", ["dino", "detr"])
@pytest.mark.parametrize("objects", [(0, 0), (2, 0)], ids=["whole batch", "one image"])
def test_images_without_objects_train(repository, system, objects):
    from mmdet.structures import DetDataSample

    cfg = load_config(repository / f"configs/synthetic/{system}_r18_synthetic-coco.py")
    torch.manual_seed(0)
    model = build_model(cfg)
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
