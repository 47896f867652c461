"""What a task contributes to a result: its fields, its picture, and the formats that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Entries = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class ModelInfo:
    """What has to be known of a model to read its predictions.

    Attributes:
        meta: of the data set that it was trained on: ``classes``, ``palette``, ``category_ids``, ...
        preprocessor: the model's; it tells how to undo normalisation.
        threshold: predictions with a lower score are left out.

    Example:
        >>> info = ModelInfo({"classes": ("cat", "dog"), "category_ids": [17, 18]})
        >>> info.name(1), info.category_id(1), ModelInfo().name(4), ModelInfo().category_id(4)
        ('dog', 18, '4', 5)
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Any = None
    threshold: float = 0.0

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty if the checkpoint does not say."""
        return tuple(self.meta.get("classes") or ())

    @property
    def palette(self) -> Sequence | None:
        """RGB colour of each class, if the data set has colours."""
        return self.meta.get("palette")

    def name(self, label: int) -> str:
        """The class's name, or its number where there are no names."""
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    def category_id(self, label: int) -> int:
        """The data set's id of a class; counted from 1 where the checkpoint does not say."""
        given = self.meta.get("category_ids")
        return int(given[label]) if given else label + 1


class Part:
    """One task's share of a :class:`~dense3d.results.Result`.

    A task is a subclass in a module of its own and a line in :data:`dense3d.results.result.PARTS`. It reads
    itself from a model's data sample and draws itself. Of ``to_coco``, ``to_kitti`` and ``to_labelme`` it has
    those formats that fit it; what it does not have is refused in one sentence.

    Attributes:
        fields: names of the attributes that the result shows as its own; those that are None are not shown.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Part | None:
        """The part that a model's data sample holds, or None.

        Args:
            sample: the model's prediction for one image.
            info: of the model.
        """
        raise NotImplementedError

    def __str__(self) -> str:
        """A few words on what was found."""
        raise NotImplementedError

    def draw(self, image: np.ndarray) -> np.ndarray:
        """A picture ``(H', W', 3)`` RGB uint8.

        Args:
            image: ``(H, W, 3)`` RGB uint8, what was given to the model.
        """
        raise NotImplementedError

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """Write the files of this part for one image into ``folder``.

        Args:
            folder: of the whole run.
            stem: name of the files, without suffix.
            image_id: number of the image in the run.
            file_name: the image, as lists name it.

        Returns:
            Entries for lists of the whole run, by the list's name: ``"predictions"``, ``"panoptic"``.
        """
        return {}


def counted(names: Sequence[str], most: int = 4) -> str:
    """How often each name occurs, the most frequent first.

    Example:
        >>> counted(["cat", "dog", "cat"])
        '2 cat, 1 dog'
        >>> counted([])
        ''
    """
    from collections import Counter

    common = Counter(names).most_common()
    words = [f"{count} {name}" for name, count in common[:most]]
    return ", ".join([*words, "..."] if len(common) > most else words)
