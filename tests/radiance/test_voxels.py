"""Voxel semantics and super-resolution beyond their golden kit."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pretraining.nerf_mae import NeRFMAE
from dense3d.radiance.voxels import VoxelSegmenter, VoxelSuperResolution
from dense3d.radiance.voxels.segmenter import class_weights_of, soft_iou, voxel_cross_entropy
from dense3d.structures import GridDataSample

SMALL = dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2)), drop_path_rate=0.0)


def labelled(labels: torch.Tensor, **fields) -> GridDataSample:
    sample = GridDataSample(metainfo=dict(sample_id="room_1"))
    sample.set_data(dict(gt_voxel_labels=labels, **fields))
    return sample


def test_cross_entropy_is_torchs_where_voxels_have_a_class() -> None:
    logits, labels = torch.randn(2, 4, 3, 3, 3), torch.randint(0, 4, (2, 3, 3, 3))
    weights = torch.tensor([9.0, 1.0, 2.0, 0.5])
    expected = F.cross_entropy(logits, labels, weights, ignore_index=0)
    assert torch.allclose(voxel_cross_entropy(logits, labels, weights), expected)
    assert voxel_cross_entropy(logits, labels * 0, weights) == 0


def test_soft_iou_of_certain_predictions() -> None:
    labels = torch.tensor([1, 2, 2, 0]).view(1, 4, 1, 1)
    certain = 50 * F.one_hot(torch.tensor([1, 2, 1, 2]), 3).T.float().view(1, 3, 4, 1, 1)
    assert float(soft_iou(certain, labels)) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_class_weights_are_the_papers() -> None:
    weights = class_weights_of([1000, 30, 10])
    assert weights == pytest.approx([0, 1 / math.log(1.02 + 0.75), 1 / math.log(1.02 + 0.25)])


def test_segmenter_predicts_without_padding_and_learns_every_weight() -> None:
    model = VoxelSegmenter(SMALL, 4, class_weights=[0, 1, 2, 3])
    grids = [torch.rand(4, 10, 16, 7), torch.rand(4, 16, 5, 16)]
    samples = [labelled(torch.randint(0, 4, g.shape[1:])) for g in grids]
    batch = model.data_preprocessor({"inputs": {"grids": grids}, "data_samples": samples})
    losses = model(**batch, mode="loss")
    losses["loss_voxels"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    found = model.eval()(**batch, mode="predict")
    assert [sample.pred_voxel_labels.shape for sample in found] == [g.shape[1:] for g in grids]


def test_what_cannot_be_learnt_is_said() -> None:
    model, grid = VoxelSegmenter(SMALL, 4), torch.rand(1, 4, 8, 8, 8)
    with pytest.raises(DataError, match="room_1: there are 8x9x8 voxel labels for a grid of 8x8x8 voxels"):
        model(grid, [labelled(torch.zeros(8, 9, 8).long())], mode="loss")
    with pytest.raises(DataError, match="has no gt_voxel_labels, which voxel segmentation learns from"):
        model(grid, [GridDataSample()], mode="loss")
    with pytest.raises(DataError, match="room_1: voxel labels reach from 7 to 7"):
        model(grid, [labelled(torch.full((8, 8, 8), 7))], mode="loss")
    with pytest.raises(ConfigError, match="give 4 numbers"):
        VoxelSegmenter(SMALL, 4, class_weights=[1.0, -1.0, 0.0, 0.0])
    with pytest.raises(DataError, match="multiples of 4"):
        model(torch.rand(1, 4, 8, 9, 8))
    with pytest.raises(ConfigError, match=r"factor=0\.5"):
        VoxelSuperResolution(SMALL, factor=0.5)
    with pytest.raises(ConfigError, match="'unet', 'plain'"):
        VoxelSuperResolution(SMALL, decoder="skip")


def test_finer_grids_have_the_truths_sides() -> None:
    model = VoxelSuperResolution(SMALL, factor=1.6)
    sample = GridDataSample(metainfo=dict(sample_id="room_1"))
    sample.set_data(dict(gt_grid=torch.rand(4, 16, 25, 12)))
    batch = model.data_preprocessor(
        {"inputs": {"grids": [torch.rand(4, 10, 16, 8)]}, "data_samples": [sample]}
    )
    loss = model(**batch, mode="loss")["loss_rgb"].detach()
    (found,) = model.eval()(**batch, mode="predict")
    assert found.pred_grid.shape == (4, 16, 25, 12)
    assert float(loss) == pytest.approx(3 * float(found.mse), rel=1e-4)  # a sum over colours, and their mean
    for wrong in ((90, 25, 12), (16, 20, 12)):  # of factors above and below
        batch["data_samples"][0].set_data(dict(gt_grid=torch.rand(4, *wrong)))
        for mode in ("loss", "predict"):
            with pytest.raises(DataError, match=r"room_1: .* and the model makes 16x25x12 of 10x16x8"):
                model(**batch, mode=mode)


def test_pretrained_parts_arrive(tmp_path) -> None:
    torch.manual_seed(0)
    source = NeRFMAE(SMALL)
    torch.save({"state_dict": source.state_dict(), "meta": {}}, tmp_path / "mae.pth")
    model = VoxelSegmenter(SMALL, 4, pretrained=str(tmp_path / "mae.pth"))
    before = model.finest.up.weight.clone()
    model.init_weights()
    for part in ("encoder", "decoder"):
        for name, value in getattr(source, part).state_dict().items():
            assert torch.equal(getattr(model, part).state_dict()[name], value), name
    assert torch.equal(model.finest.up.weight, before)
    torch.save({"state_dict": {"fc.weight": torch.ones(1)}, "meta": {}}, tmp_path / "other.pth")
    other = VoxelSegmenter(SMALL, 4, pretrained=str(tmp_path / "other.pth"))
    with pytest.raises(CheckpointError):
        other.init_weights()
