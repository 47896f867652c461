"""Other backbones of the registry under both detectors, and encoders that were trained before."""

from __future__ import annotations

import pytest
import torch

from dense3d.detection3d.point_detector import PointDetector
from dense3d.detection3d.threedetr import ThreeDETR
from dense3d.detection3d.votenet import VoteNet
from dense3d.errors import CheckpointError, DataError
from dense3d.pointcloud import PointNet2
from dense3d.registry import MODELS
from tests.detection3d.indoor.rooms import SIZES, batch, losses_of, room
from tests.golden.kit import GoldenKit
from tests.golden.weights import tensors_of

DETECTORS = pytest.mark.parametrize("name", ["votenet", "threedetr"])
LEVELS = dict(channels=(8, 8), convs=(1, 1), attentions=(0, 0), num_heads=(1, 1), windows=(8, 8))
HUNET = dict(type="HUNet", in_channels=1, **LEVELS, **{f"decoder_{k}": v for k, v in LEVELS.items()})
POINT_MAE = dict(type="PointTransformer", embed_dim=16, depth=1, num_heads=2, num_groups=24, group_size=8)


def voxels(**settings) -> dict:
    network = dict(HUNET, **settings)
    return dict(type="VoxelSeeds", network=network, num_seeds=24, voxel_size=0.1, channels=16)


def detector(name: str, backbone: dict) -> PointDetector:
    torch.manual_seed(0)
    if name == "votenet":
        return VoteNet(backbone, 3, SIZES, proposals=dict(num_proposals=8, channels=(8,)))
    layers = dict(encoder=dict(num_layers=1, num_heads=2), decoder=dict(dim=16, num_layers=1))
    return ThreeDETR(backbone, 3, num_queries=8, **layers)


@DETECTORS
def test_the_encoder_of_point_mae_is_a_backbone(name):
    model = detector(name, POINT_MAE)
    points, sample = room(0)
    losses_of(model, points[None], [sample]).backward()
    assert model.backbone.blocks[0].attn.qkv.weight.grad.abs().sum() > 0
    with pytest.raises(DataError, match="reads coordinates alone"):
        model(*batch(0), mode="loss")


@DETECTORS
def test_a_network_of_voxels_is_a_backbone(name):
    model = detector(name, voxels())
    losses_of(model, *batch(0, 1, numbers=(300, 170))).backward()
    assert model.backbone.network.stem[0].weight.grad.abs().sum() > 0
    model.eval()
    together = model(*batch(0, 1, numbers=(300, 170)), mode="predict")
    (alone,) = model(*batch(1, numbers=(170,)), mode="predict")
    torch.testing.assert_close(together[1].pred_boxes, alone.pred_boxes, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="networks of voxels read features"):
        model(batch(0)[0]["points"], mode="predict")


@DETECTORS
@pytest.mark.parametrize("kind", ["Point-MAE", "MSM"])
def test_a_detector_starts_from_a_trained_encoder(name, kind, tmp_path):
    """Every weight of the encoder is the file's after init_weights, and none of them before."""
    encoder = POINT_MAE if kind == "Point-MAE" else HUNET
    torch.manual_seed(1)
    own = MODELS.build(encoder).state_dict()
    trained = {key: (torch.rand(value.shape) + 2).to(value.dtype) for key, value in own.items()}
    file = tmp_path / "trained.pth"
    torch.save({"state_dict": {f"backbone.{key}": v for key, v in trained.items()}, "meta": {}}, file)
    init_cfg = dict(type="Pretrained", checkpoint=str(file))
    model = detector(
        name, dict(POINT_MAE, init_cfg=init_cfg) if kind == "Point-MAE" else voxels(init_cfg=init_cfg)
    )
    network = model.backbone if kind == "Point-MAE" else model.backbone.network
    assert not any(torch.equal(value, trained[key]) for key, value in network.state_dict().items())
    rest = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("backbone.")}
    model.init_weights()
    for key, value in network.state_dict().items():
        assert torch.equal(value, trained[key]), key
    for key, value in rest.items():
        assert torch.equal(value, model.state_dict()[key]), key


@pytest.mark.parametrize("kit", ["votenet", "threedetr"])
def test_a_backbone_starts_from_an_official_file_or_ours(kit, golden_dir, tmp_path):
    levels = dict(in_channels=1)
    if kit == "threedetr":
        levels = dict(
            in_channels=0,
            num_points=(64,),
            radii=(0.2,),
            num_neighbours=(64,),
            channels=((64, 128, 256),),
            propagation=(),
        )
    official = tensors_of(GoldenKit(golden_dir / kit))
    torch.save({"model_state_dict" if kit == "votenet" else "model": official}, tmp_path / "official.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "official.pth"))
    network = PointNet2(**levels, init_cfg=init_cfg)
    network.init_weights()
    stem = "backbone_net.sa1" if kit == "votenet" else "pre_encoder"
    kernel = official[f"{stem}.mlp_module.layer2.conv.weight"][..., 0, 0]
    assert torch.equal(network.abstractions[0].layers[2][0].weight, kernel)
    ours = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": ours, "meta": {}}, tmp_path / "ours.pth")
    again = PointNet2(**levels, init_cfg=dict(init_cfg, checkpoint=str(tmp_path / "ours.pth")))
    again.init_weights()
    assert torch.equal(again.abstractions[0].layers[2][0].weight, kernel)
    other = PointNet2(0, (8,), (0.5,), (4,), ((8,),), (), init_cfg=init_cfg)
    with pytest.raises(CheckpointError):
        other.init_weights()
