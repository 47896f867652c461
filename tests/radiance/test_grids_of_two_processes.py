"""Two processes with gloo equal one with the doubled batch: pre-training on grids, NeRF-RPN, finer voxels."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from dense3d.detection3d.nerf_rpn import NerfRPN
from dense3d.pretraining.nerf_mae import NeRFMAE
from dense3d.radiance.voxels import VoxelSuperResolution
from dense3d.structures import GridDataSample

SMALL = dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2)), drop_path_rate=0.0)
SHAPES = ((32, 32, 28), (32, 30, 32), (16, 12, 32), (20, 32, 8))  # the halves differ much
BOXES = (3, 2, 1, 0)


def detector(**head) -> NerfRPN:
    return NerfRPN(dict(type="Swin3D", **SMALL), head, neck=dict(type="FPN3D", out_channels=32))


BUILDS = {
    "NeRFMAE": lambda: NeRFMAE(SMALL),
    "anchor-free": lambda: detector(
        type="FCOSHead3D", num_convs=1, level_ranges=((-1, 10), (10, math.inf)), projection_weight=0.1
    ),
    # all anchors, since those of a sample are drawn
    "anchors": lambda: detector(
        type="AnchorHead3D", num_convs=1, sizes=((8,), (16,)), num_samples=10**6, positive_share=1.0
    ),
    "finer": lambda: VoxelSuperResolution(SMALL, factor=1.0),
}


def batch() -> tuple[dict[str, Tensor], list[GridDataSample]]:
    """Four scenes with their boxes and finer grids."""
    random = torch.Generator().manual_seed(0)
    grids, samples = torch.zeros(4, 4, 32, 32, 32), []
    for index, (shape, count) in enumerate(zip(SHAPES, BOXES)):
        x, y, z = (slice(side) for side in shape)
        grids[index, :, x, y, z] = torch.rand(4, *shape, generator=random)
        centres = torch.tensor(shape) * (0.3 + 0.4 * torch.rand(count, 3, generator=random))
        sizes = 6 + 6 * torch.rand(count, 4, generator=random)
        boxes = torch.cat([centres, sizes[:, :3], sizes[:, 3:] / 12], dim=1)
        sample = GridDataSample(metainfo=dict(sample_id=f"room {index}"))
        sample.set_data(dict(gt_boxes=boxes, gt_grid=torch.rand(4, *shape, generator=random)))
        samples.append(sample)
    return {"grids": grids, "shapes": torch.tensor(SHAPES)}, samples


def step(name: str, part: slice, wrap: bool) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and gradients of a part of the batch."""
    torch.manual_seed(0)
    model = BUILDS[name]().train()
    inputs, samples = batch()
    more = {}
    if name == "NeRFMAE":
        more["mask"] = (torch.rand(4, 2, 2, 2, generator=torch.Generator().manual_seed(1)) < 0.5)[part]
    network = DistributedDataParallel(model, find_unused_parameters=True) if wrap else model
    losses = network({k: v[part] for k, v in inputs.items()}, samples[part], mode="loss", **more)
    sum(losses.values()).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    return {key: float(value.detach()) for key, value in losses.items()}, gradients


def _process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {name: step(name, slice(2 * rank, 2 * rank + 2), wrap=True) for name in BUILDS}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> list:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", BUILDS)
def test_losses_and_gradients_are_those_of_the_doubled_batch(name, of_two):
    losses, gradients = step(name, slice(0, 4), wrap=False)
    both = [steps[name] for steps in of_two]
    halves = [sum(found.values()) for found, _ in both]
    assert sum(halves) / 2 == pytest.approx(sum(losses.values()), rel=1e-5)
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)  # the halves do differ
    assert gradients
    for key, expected in gradients.items():
        for _, found in both:
            torch.testing.assert_close(found[key], expected, rtol=5e-4, atol=1e-6, msg=key)
