"""Two processes with gloo equal one with the doubled batch: losses, gradients, and figures of the metrics."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dense3d.pretraining.croco import CroCo
from dense3d.registry import METRICS
from dense3d.stereo.ccnext import CCNeXt
from dense3d.stereo.croco_stereo import CrocoFlow, CrocoStereo
from dense3d.structures import RectifiedRig, StereoSample

SMALL = dict(pos_embed="RoPE100", enc_embed_dim=16, enc_depth=2, enc_num_heads=2)
SMALL |= dict(dec_embed_dim=16, dec_depth=2, dec_num_heads=2)
CROCO = dict(
    network=SMALL,
    hooks=(0, 1, 2, 3),
    head=dict(hidden_channels=(4, 4, 8, 8), channels=8, last_channels=4),
    crop_size=(32, 64),
)
SIZE = (32, 64)


def croco(kind: type) -> nn.Module:
    return kind(**CROCO)


def ccnext() -> nn.Module:
    """Without noise; its batch norms, whose statistics are each process's own, as in evaluation."""
    backbone = dict(type="ConvNeXt", arch=dict(dims=(8, 8, 16, 16), depths=(1, 1, 1, 1)))
    decoder = dict(channels=(4, 4, 8, 8, 8), scales=(0, 1))
    return CCNeXt(backbone, decoder=decoder, loss=dict(noise=0.0), normalised_focal=0.58).eval()


BUILDS = {
    "CrocoStereo": lambda: croco(CrocoStereo),
    "CrocoFlow": lambda: croco(CrocoFlow),
    "CCNeXt": ccnext,
    "CroCo": lambda: CroCo(dict(SMALL, patch_size=8), mask_ratio=0.75),
}


def batch(name: str) -> tuple[dict[str, Tensor], list[StereoSample]]:
    """Four pairs, whose numbers of known pixels differ much between the halves of the batch."""
    random = torch.Generator().manual_seed(3)
    size = (64, 96) if name == "CCNeXt" else SIZE
    inputs = {side: torch.rand(4, 3, *size, generator=random) for side in ("left", "right")}
    samples = []
    for number in range(4):
        sample = StereoSample(metainfo=dict(img_shape=size))
        for field, channels in (("gt_disparity", 1), ("gt_flow", 2)):
            truth = 20 * torch.rand(channels, *size, generator=random)
            truth[:, : (28 if number < 2 else 3)] = float("inf")
            sample.set_data({field: truth})
        samples.append(sample)
    return inputs, samples


def step(name: str, part: slice, wrap: bool) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and gradients of a part of the batch."""
    torch.manual_seed(0)
    model = BUILDS[name]()
    inputs, samples = batch(name)
    given = {side: image[part] for side, image in inputs.items()}
    more = {}
    if name == "CroCo":
        patches = SIZE[0] // 8 * SIZE[1] // 8
        more = {"noise": torch.rand(4, patches, generator=torch.Generator().manual_seed(1))[part]}
    network = DistributedDataParallel(model, find_unused_parameters=True) if wrap else model
    losses = network(given, samples[part], mode="loss", **more)
    sum(value for key, value in losses.items() if "loss" in key).backward()
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    return {key: float(value) for key, value in losses.items()}, gradients


def predictions() -> list[dict]:
    """Five samples with ground truth and predictions, each with its own share of known pixels."""
    random = np.random.default_rng(0)
    rig = RectifiedRig(focal=60.0, baseline=0.5, cx=31.5, cy=15.5, width=SIZE[1], height=SIZE[0])
    found = []
    for number in range(5):
        truth = random.uniform(2, 20, (1, *SIZE)).astype(np.float32)
        truth[:, : 5 * number] = np.inf
        sample = StereoSample(metainfo=dict(sample_id=f"pair-{number}", rig=rig, img_shape=SIZE))
        sample.gt_disparity = torch.from_numpy(truth)
        sample.pred_disparity = torch.from_numpy(truth * 1.1).nan_to_num(posinf=3.0) + number
        sample.gt_nonoccluded = torch.from_numpy(random.random((1, *SIZE)) < 0.7)
        sample.gt_flow = torch.from_numpy(random.normal(0, 20, (2, *SIZE)).astype(np.float32))
        sample.pred_flow = sample.gt_flow + number
        found.append(sample.to_dict())
    return found


METRIC_CONFIGS = (
    dict(type="DisparityMetric", protocol="kitti-2015"),
    dict(type="DisparityMetric", protocol="middlebury"),
    dict(type="DepthMetric", protocol="none"),
    dict(type="FlowMetric", protocol="flow"),
)


def figures(numbers: list[int], folder: Path) -> dict[str, float]:
    """Of the samples that a process sees; the sampler repeats some so that all see equally many."""
    samples = predictions()
    found = {}
    for place, config in enumerate(METRIC_CONFIGS):
        metric = METRICS.build(dict(config, result_file=str(folder / f"{place}.csv")))
        for number in numbers:
            metric.process(None, [samples[number]])
        found |= {f"{place}/{key}": value for key, value in metric.evaluate(len(samples)).items()}
    return found


def _process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    (folder / str(rank)).mkdir()
    share = slice(2 * rank, 2 * rank + 2)
    found = {name: step(name, share, wrap=True) for name in BUILDS}
    numbers = [0, 2, 4] if rank == 0 else [1, 3, 0]
    torch.save((found, figures(numbers, folder / str(rank))), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> tuple[Path, list]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    return folder, [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", BUILDS)
def test_losses_and_gradients_are_those_of_the_doubled_batch(name, of_two):
    losses, gradients = step(name, slice(0, 4), wrap=False)
    both = [steps[name] for steps, _ in of_two[1]]
    total = sum(value for key, value in losses.items() if "loss" in key)
    halves = [sum(value for key, value in found.items() if "loss" in key) for found, _ in both]
    assert sum(halves) / 2 == pytest.approx(total, rel=1e-5)
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)  # the halves do differ
    assert gradients
    for key, expected in gradients.items():
        for _, found in both:
            torch.testing.assert_close(found[key], expected, rtol=2e-4, atol=1e-6, msg=key)


def test_figures_are_those_of_one_process(of_two, tmp_path):
    expected = figures(list(range(5)), tmp_path)
    folder, found = of_two
    for _, values in found:
        assert values == expected
    for place in range(len(METRIC_CONFIGS)):
        whole = sorted((tmp_path / f"{place}.csv").read_text().splitlines())
        assert sorted((folder / "0" / f"{place}.csv").read_text().splitlines()) == whole
        assert len(whole) == 6 and not (folder / "1" / f"{place}.csv").exists()
