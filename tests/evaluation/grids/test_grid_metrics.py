"""Metrics of radiance grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.grids import GridReconstruction, VoxelIoU


def test_figures_are_means_over_grids_that_have_them() -> None:
    metric = GridReconstruction()
    metric.process(None, [dict(mse=torch.tensor(0.01), psnr=torch.tensor(20.0), alpha_mse=torch.tensor(0.5))])
    metric.process(
        None, [dict(mse=torch.tensor(0.1), psnr=torch.tensor(10.0), alpha_mse=torch.tensor(math.nan))]
    )
    metric.process(None, [dict(mse=torch.tensor(math.nan), psnr=torch.tensor(math.nan))])
    found = metric.compute_metrics(metric.results)
    assert found == pytest.approx(dict(mse=0.055, psnr=15.0, alpha_mse=0.5, grids=2))
    with pytest.raises(DataError, match="room has no reconstruction error"):
        metric.process(None, [dict(sample_id="room")])
    with pytest.raises(DataError, match="there is no grid"):
        metric.compute_metrics([])


def test_void_is_not_counted_and_absent_classes_count_as_nothing() -> None:
    metric = VoxelIoU(["void", "floor", "wall", "lamp"])
    truth = torch.tensor([1, 1, 2, 2, 0, 0])
    metric.process(None, [dict(gt_voxel_labels=truth, pred_voxel_labels=torch.tensor([1, 2, 2, 2, 1, 3]))])
    found = metric.compute_metrics(metric.results)
    assert found["iou/floor"] == pytest.approx(50) and found["iou/wall"] == pytest.approx(200 / 3)
    assert found["mIoU"] == pytest.approx((50 + 200 / 3 + 0) / 3)
    assert found["mAcc"] == pytest.approx((50 + 100 + 0) / 3) and found["aAcc"] == pytest.approx(75)
    with pytest.raises(DataError, match="no voxel labels"):
        metric.process(None, [dict(pred_voxel_labels=truth)])
    with pytest.raises(ConfigError, match="names its classes"):
        VoxelIoU().process(None, [dict(gt_voxel_labels=truth, pred_voxel_labels=truth)])
    empty = VoxelIoU(["void", "floor"])
    empty.process(None, [dict(gt_voxel_labels=truth * 0, pred_voxel_labels=truth * 0)])
    with pytest.raises(DataError, match="no voxel with a class"):
        empty.compute_metrics(empty.results)
    assert np.isfinite(list(found.values())).all()
