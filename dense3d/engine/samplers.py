"""Batches of indices that carry a seed for each sample.

What a transform draws at random then depends only on the run's seed, the epoch and the sample's place in
it: not on the number of workers, nor on what a worker did before, nor on how the samples are spread over
processes. So a run can start in the middle of an epoch without loading what came before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from mmengine.dist import get_dist_info
from torch.utils.data import BatchSampler, Sampler

from dense3d.engine import random_state
from dense3d.registry import DATA_SAMPLERS


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
        with random_state.preserved_on_cpu():
            for index, seed in zip(super().__iter__(), self.seeds):
                random_state.seed_sample(seed)
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
        return random_state.mix(self.seed, epoch, place * self._world_size + self._rank)

    def __len__(self) -> int:
        return len(self.batches)
