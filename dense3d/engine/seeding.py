"""Random generators, and batches of indices that carry a seed for each sample.

Generators of one process are captured into plain data, restored, preserved and seeded per sample. What a
transform draws at random then depends only on the run's seed, the epoch and the sample's place in it: not on
the number of workers, nor on what a worker did before, nor on how the samples are spread over processes. So a
run can start in the middle of an epoch without loading what came before.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, Sampler

from dense3d.registry import DATA_SAMPLERS


def capture() -> dict:
    """State of Python's, NumPy's and torch's generators as tensors and numbers.

    Returns:
        ``{"python", "numpy", "torch"[, "cuda"]}``; loadable with ``weights_only=True``.

    Example:
        >>> state = capture()
        >>> first = torch.rand(3)
        >>> restore(state)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore(state: dict) -> None:
    """Put the generators back to what :func:`capture` returned."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].cpu().numpy().astype(np.uint32)
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextlib.contextmanager
def preserved_on_cpu() -> Iterator[None]:
    """Leave the CPU generators as they were, whatever the block draws from them.

    CUDA's is not touched: a forked data worker may not use it.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


def seed_sample(seed: int) -> None:
    """Seed the generators that data transforms draw from (Python, NumPy and torch on the CPU).

    Args:
        seed: 64-bit number; NumPy takes its lower 32 bits.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.random.default_generator.manual_seed(seed)


def mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers; neighbouring inputs give unrelated seeds.

    Example:
        >>> mix(1, 2) == mix(1, 2), mix(1, 2) == mix(2, 1)
        (True, False)
    """
    words = np.random.SeedSequence([abs(int(n)) for n in numbers]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


class SeededBatch(list):
    """Indices of a batch; iterating seeds the generators before each one and restores them at the end.

    A ``DataLoader`` fetches with ``[dataset[index] for index in batch]``, in the worker or in the main
    process, so the data set needs neither change nor wrapper.

    Args:
        indices: what the sampler yielded.
        seeds: one for each index.
    """

    def __init__(self, indices: Sequence, seeds: Sequence[int]) -> None:
        super().__init__(indices)
        self.seeds = list(seeds)

    def __reduce__(self) -> tuple:
        return SeededBatch, (list.copy(self), self.seeds)

    def __iter__(self) -> Iterator:
        with preserved_on_cpu():
            for index, seed in zip(super().__iter__(), self.seeds):
                seed_sample(seed)
                yield index


@DATA_SAMPLERS.register_module()
class SeededBatchSampler(Sampler):
    """Give each sample of another batch sampler a seed, and start anywhere in an epoch.

    The seed's place is ``position * world_size + rank``: the number that the sample has in a single
    process when mmengine's samplers deal the indices out in turn.

    Args:
        sampler: sampler of indices.
        batch_size: samples in a batch of this process.
        drop_last: leave an incomplete last batch out.
        batch_sampler: config of another way to form batches (mmdet's ``AspectRatioBatchSampler``).
        seed: the run's seed.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        drop_last: bool = False,
        batch_sampler: dict | None = None,
        seed: int = 0,
    ) -> None:
        if batch_sampler is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            defaults = {"sampler": sampler, "batch_size": batch_size}
            self.batches = DATA_SAMPLERS.build(copy.deepcopy(batch_sampler), default_args=defaults)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = getattr(self.batches, "drop_last", drop_last)
        self.seed = seed
        self._epoch = 0
        self._first = 0
        self._rank, self._world_size = get_dist_info()

    def start_at(self, epoch: int, batch: int) -> None:
        """Let the next iteration be ``epoch``'s, without its first ``batch`` batches."""
        self._epoch = epoch
        self._first = batch
        for sampler in (self.sampler, self.batches):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[SeededBatch]:
        epoch, first = self._epoch, self._first
        self._first = 0
        position = 0
        for number, indices in enumerate(self.batches):
            if number >= first:
                places = range(position, position + len(indices))
                yield SeededBatch(indices, [self._sample_seed(epoch, place) for place in places])
            position += len(indices)

    def _sample_seed(self, epoch: int, place: int) -> int:
        return mix(self.seed, epoch, place * self._world_size + self._rank)

    def __len__(self) -> int:
        return len(self.batches)
