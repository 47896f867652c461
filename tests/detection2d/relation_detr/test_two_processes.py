"""Two processes with gloo equal one process with the doubled batch, and none waits for the other."""

from __future__ import annotations

import datetime
import multiprocessing
import socket
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

CASES = {
    # Numbers of boxes of the two images of each process. Without noise the random numbers of the denoising
    # queries do not matter, and equal largest numbers of boxes give both processes the same groups.
    "boxes_in_both": (((3, 1), (3, 2)), dict(num_queries=6, label_noise=0.0, box_noise=0.0)),
    # A process without boxes has no slots for denoising queries, where one batch has some to suppress.
    "one_without_boxes": (((3, 1), (0, 0)), None),
    "one_without_boxes_but_denoising": (((3, 1), (0, 0)), dict(num_queries=6)),
}
LIMIT = datetime.timedelta(minutes=10)  # a process of its own imports for long on a busy machine


def gradients(model: nn.Module, images: Tensor, samples: list) -> dict[str, Tensor]:
    """Gradients of the second of two backward passes; DDP refuses it where the first one left one out."""
    for _ in range(2):
        model.zero_grad()
        losses = model(images, samples, mode="loss")
        sum(losses.values()).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, gradient in found.items() if gradient is None] == []
    return {name.removeprefix("module."): gradient for name, gradient in found.items()}


def in_process(rank: int, port: int, cases: Path) -> dict[str, dict[str, Tensor]]:
    """Gradients of every case in one of two processes, which see a half of the images each."""
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=2, rank=rank, timeout=LIMIT)
    try:
        found = {}
        for name, (model, images, samples) in torch.load(cases, weights_only=False).items():
            half = slice(2 * rank, 2 * rank + 2)
            found[name] = gradients(DistributedDataParallel(model.train()), images[half], samples[half])
        return found
    finally:
        dist.destroy_process_group()


def second_process(port: int, cases: Path, out: Path, started: Connection) -> None:
    started.send(True)
    torch.set_num_threads(1)
    torch.save(in_process(1, port, cases), out)


@pytest.fixture
def cases(build, batch) -> dict[str, tuple]:
    """Model, images and data samples of every case."""
    made = {}
    for name, (counts, denoising) in CASES.items():
        model = build(denoising=denoising, decoder_layers=2)
        for key, parameter in model.named_parameters():
            if "sampling_offsets" in key:  # at first they point to centres of cells, where gradients jump
                nn.init.normal_(parameter, std=0.3)
        made[name] = (model, *batch(counts[0] + counts[1], size=(64, 96)))
    return made


def test_two_processes_equal_one_with_the_doubled_batch(cases, tmp_path):
    torch.save(cases, tmp_path / "cases.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Spawned, as a fork would take over the threads' state of compiled operators; the other one is this one.
    context = multiprocessing.get_context("spawn")
    started, start = context.Pipe(duplex=False)
    second = context.Process(
        target=second_process, args=(port, tmp_path / "cases.pt", tmp_path / "second.pt", start), daemon=True
    )
    second.start()
    start.close()
    started.recv()  # EOFError where the process ends before it gets that far
    first = in_process(0, port, tmp_path / "cases.pt")
    second.join(LIMIT.total_seconds())
    assert second.exitcode == 0
    others = torch.load(tmp_path / "second.pt")
    for name, (model, images, samples) in cases.items():
        alone = gradients(model.train(), images, samples)
        for key, gradient in first[name].items():
            assert gradient.isfinite().all(), (name, key)
            assert torch.equal(others[name][key], gradient), (name, key)
            if not name.endswith("denoising"):
                assert (gradient - alone[key]).norm() <= 1e-3 * alone[key].norm() + 1e-5, (name, key)
