"""Few clouds of few classes, drawn from any data set of classified clouds."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS

PARTS = ("train", "test")


@DATASETS.register_module()
class FewShotFold(Dataset):
    """K-way N-shot classification: one fold's training or test clouds, with labels 0 to K - 1.

    Sharma and Kaul, "Self-Supervised Few-Shot Learning on Point Clouds", NeurIPS 2020. Classes and clouds
    are drawn by the number of the fold, so that both parts and every run agree on them; no cloud is in both.

    Args:
        dataset: config of a data set of mmengine whose entries have ``gt_label``.
        way, shot: K classes, N training clouds of each.
        fold: number of the fold, from 0.
        part: ``"train"`` or ``"test"``.
        queries: test clouds of each class.
        classes: names that may be drawn; all of the data set's unless given.

    Attributes:
        metainfo: the data set's, with ``classes`` those of the fold.

    Raises:
        ConfigError: an unknown part or class, or more ways than classes.
        DataError: a class has too few clouds.
    """

    def __init__(
        self,
        dataset: dict | Dataset,
        way: int,
        shot: int,
        fold: int = 0,
        part: str = "train",
        queries: int = 20,
        classes: Sequence[str] | None = None,
    ) -> None:
        if part not in PARTS:
            raise ConfigError(f"part={part!r} of a few-shot fold: use 'train' or 'test'")
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.way, self.shot, self.fold, self.part, self.queries = way, shot, fold, part, queries
        self.dataset.full_init()
        names = tuple(self.dataset.metainfo.get("classes") or ())
        self.metainfo, self._drawn = self._draw(names, classes)

    def full_init(self) -> None:
        """Everything is known already; mmengine's loops ask for it."""

    def __len__(self) -> int:
        return len(self._drawn)

    def __getitem__(self, index: int) -> Any:
        """The cloud, with its label in the fold."""
        place, label = self._drawn[index]
        item = self.dataset[place]
        sample = item["data_samples"]
        sample.gt_label = sample.gt_label.new_tensor(label)
        return item

    def _draw(
        self, names: tuple[str, ...], wanted: Sequence[str] | None
    ) -> tuple[dict[str, Any], list[tuple[int, int]]]:
        unknown = [name for name in wanted or () if name not in names]
        if unknown:
            raise ConfigError(f"few-shot class {unknown[0]!r} is none of the data's: {', '.join(names)}")
        allowed = [names.index(name) for name in wanted] if wanted else list(range(len(names)))
        if not 1 <= self.way <= len(allowed):
            raise ConfigError(
                f"{self.way}-way few-shot classification needs as many classes, of {len(allowed)}"
            )
        random = np.random.RandomState(self.fold)
        labels = np.array([self.dataset.get_data_info(i)["gt_label"] for i in range(len(self.dataset))])
        chosen = random.choice(allowed, self.way, replace=False)
        places = []
        for label, name in enumerate(chosen):
            having = random.permutation(np.flatnonzero(labels == name))
            if len(having) < self.shot + self.queries:
                raise DataError(
                    f"class {names[name]!r} has {len(having)} clouds; {self.shot} shots and {self.queries} "
                    "queries need more"
                )
            part = having[: self.shot] if self.part == "train" else having[self.shot :][: self.queries]
            places += [(int(place), label) for place in part]
        metainfo = copy.deepcopy(dict(self.dataset.metainfo))
        metainfo["classes"] = tuple(names[name] for name in chosen)
        return metainfo, places
