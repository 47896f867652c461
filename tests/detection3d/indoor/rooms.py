"""Small detectors, and batches of boxes full of points for them."""

from __future__ import annotations

import torch

from dense3d.detection3d.threedetr import ThreeDETR
from dense3d.detection3d.votenet import VoteNet
from dense3d.structures import PointDataSample

BACKBONE = dict(
    type="PointNet2",
    in_channels=1,
    num_points=(48, 24),
    radii=(0.5, 1.0),
    num_neighbours=(8, 8),
    channels=((8, 16), (16, 24)),
    propagation=((16,),),
)
SIZES = [(1.0, 0.6, 0.5), (0.5, 0.5, 1.0), (1.5, 1.0, 0.7)]


def votenet(**settings) -> VoteNet:
    torch.manual_seed(0)
    head = dict(num_proposals=12, channels=(16, 16))
    return VoteNet(BACKBONE, 3, SIZES, **{"proposals": head, **settings})


def threedetr(**settings) -> ThreeDETR:
    torch.manual_seed(0)
    encoder = dict(num_layers=1, num_heads=2, feedforward_dim=16)
    decoder = dict(dim=16, num_layers=2, num_heads=2, feedforward_dim=16)
    defaults = dict(num_queries=12, encoder=encoder, decoder=decoder)
    return ThreeDETR(BACKBONE, 3, **{**defaults, **settings})


def room(seed: int, number: int = 300, instances: bool = False) -> tuple[torch.Tensor, PointDataSample]:
    """A cloud ``(N, 3)`` half of whose points lie in three boxes, and these."""
    random = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(SIZES)
    centres = torch.rand(3, 3, generator=random) * torch.tensor([4.0, 3.0, 0.5]) + 0.5
    yaw = torch.rand(3, 1, generator=random) * 6 - 3
    boxes = torch.cat([centres, sizes, yaw], dim=1)
    owner = torch.arange(number // 2) % 3
    local = (torch.rand(number // 2, 3, generator=random) - 0.5) * sizes[owner] * 0.98
    cosine, sine = yaw[owner, 0].cos(), yaw[owner, 0].sin()
    x, y, z = local.unbind(1)
    inside = torch.stack([x * cosine - y * sine, x * sine + y * cosine, z], dim=1) + centres[owner]
    others = torch.rand(number - number // 2, 3, generator=random) * torch.tensor([5.0, 4.0, 0.02]) - 1.0
    sample = PointDataSample(gt_boxes=boxes, gt_box_labels=torch.arange(3))
    sample.set_metainfo(dict(sample_id=f"room {seed}"))
    if instances:
        sample.gt_instances = torch.cat([owner, torch.full((len(others),), -1)])
    return torch.cat([inside, others]), sample


def batch(*seeds: int, numbers: tuple[int, ...] | None = None, **settings) -> tuple[dict, list]:
    """What a data preprocessor gives, with the height as the only feature."""
    numbers = numbers or (300,) * len(seeds)
    clouds, samples = zip(*(room(seed, number, **settings) for seed, number in zip(seeds, numbers)))
    if len(set(numbers)) == 1:
        points, lengths = torch.stack(clouds), None
    else:
        points, lengths = torch.cat(clouds), torch.tensor(numbers)
    return dict(points=points, features=points[..., 2:].clone(), lengths=lengths), list(samples)


def losses_of(model, inputs, samples) -> torch.Tensor:
    return sum(v for name, v in model(inputs, samples, mode="loss").items() if "loss" in name)
