"""Label maps that an evaluation writes: of all classes, and one an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from dense3d.registry import METRICS


def sample(path: str, labels: torch.Tensor, **meta) -> dict:
    return dict(
        img_path=path, pred_sem_seg=dict(data=labels[None]), gt_sem_seg=dict(data=labels[None]), **meta
    )


def test_every_image_has_its_map_and_every_class_its_number(tmp_path):
    metric = METRICS.build(dict(type="IoUMetric", output_dir=str(tmp_path)))
    metric.dataset_meta = dict(classes=[str(i) for i in range(300)])
    maps = [torch.full((4, 6), number) for number in (3, 7, 299)]
    metric.process(None, [sample(f"{folder}/x.jpg", found) for folder, found in zip("abc", maps)])
    metric.process(None, [sample("d/y.jpg", maps[0], reduce_zero_label=True)])
    written = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in tmp_path.iterdir()}
    values = {name: (picture.dtype, *np.unique(picture)) for name, picture in written.items()}
    assert values == {
        "x.png": (np.uint8, 3),
        "x_2.png": (np.uint8, 7),
        "x_3.png": (np.uint16, 299),
        "y.png": (np.uint8, 4),
    }
    assert metric.compute_metrics(metric.results)["mIoU"] == 100.0
