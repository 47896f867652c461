"""A training set in two parts: one to train the supernet on, one to score networks on."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from typing import Any

from dense3d.datasets.class_folder import ClassFolder
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS


@DATASETS.register_module()
class HeldOutFolder(ClassFolder):
    """A part of a :class:`ClassFolder`: some images of each class that are held out, or all others.

    Args:
        part: ``"train"`` or ``"held_out"``.
        held_out: images of each class, drawn at random.
        seed: of the draw, which depends on the names of the files in a class alone.
        *args, **kwargs: as for :class:`ClassFolder`.

    Raises:
        ConfigError: another part, or no image to hold out.
        DataError: a class has too few images.
    """

    def __init__(self, *args: Any, part: str, held_out: int = 25, seed: int = 0, **kwargs: Any) -> None:
        if part not in ("train", "held_out") or held_out < 1:
            raise ConfigError(
                f"HeldOutFolder: part={part!r}, held_out={held_out!r}: the part is 'train' or 'held_out', "
                "and 1 image of each class or more is held out"
            )
        self.part, self.held_out, self.seed = part, held_out, seed
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The files of the part, class by class, in the order of their paths."""
        classes = defaultdict(list)
        for sample in super().load_data_list():
            classes[sample["gt_label"]].append(sample)
        chosen = []
        for label, samples in classes.items():
            if len(samples) <= self.held_out:
                raise DataError(
                    f"{self.data_root}: the class {self._metainfo['classes'][label]!r} has {len(samples)} "
                    f"images, of which {self.held_out} cannot be held out and others be trained on"
                )
            drawn = set(random.Random(f"{self.seed}/{label}").sample(range(len(samples)), self.held_out))
            chosen += [s for i, s in enumerate(samples) if (i in drawn) == (self.part == "held_out")]
        counts = Counter(sample["gt_label"] for sample in chosen)
        self.class_counts = {name: counts[label] for label, name in enumerate(self._metainfo["classes"])}
        return [sample | {"img_id": number} for number, sample in enumerate(chosen)]
