"""What a task contributes to a result: its fields, its picture, and the formats that it has."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Entries = dict[str, list[dict[str, Any]]]
UNKNOWN_IDS = (
    "the checkpoint does not say what category ids its data set has, nor is the config's annotation file "
    "there: categories are numbered 1, 2, ... in the order of the classes"
)


@dataclass(frozen=True, eq=False)
class ModelInfo:
    """What has to be known of a model to read its predictions.

    Attributes:
        meta: of the data set that it was trained on: ``classes``, ``palette``, ``category_ids``, ...
        preprocessor: the model's; it tells how to undo normalisation.
        threshold: predictions with a lower score are left out.
        find_category_ids: gives the data set's category ids, or None, where ``meta`` has none; asked when
            they are wanted first.

    Example:
        >>> info = ModelInfo({"classes": ("cat", "dog"), "category_ids": [17, 18]})
        >>> info.name(1), info.category_id(1), ModelInfo().name(4)
        ('dog', 18, '4')
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Any = None
    threshold: float = 0.0
    find_category_ids: Callable[[], Sequence[int] | None] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty if the checkpoint does not say."""
        return tuple(self.meta.get("classes") or ())

    @property
    def palette(self) -> Sequence | None:
        """RGB colour of each class, if the data set has colours; mmdet's ``"random"`` is none."""
        given = self.meta.get("palette")
        return None if isinstance(given, str) or given is None or len(given) < len(self.classes) else given

    def name(self, label: int) -> str:
        """The class's name, or its number where there are no names."""
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    @cached_property
    def category_ids(self) -> tuple[int, ...] | None:
        """The data set's id of each class, or None where nobody knows them, which is warned of."""
        given = self.meta.get("category_ids") or ()
        if len(given) != len(self.classes) and self.find_category_ids is not None:
            given = self.find_category_ids() or ()
        if not given or len(given) < len(self.classes):
            warnings.warn(UNKNOWN_IDS, stacklevel=4)
            return None
        return tuple(map(int, given))

    def category_id(self, label: int) -> int:
        """The data set's id of a class; counted from 1 where nobody knows it."""
        ids = self.category_ids
        return ids[label] if ids and 0 <= label < len(ids) else label + 1


class Part:
    """One task's share of a :class:`~dense3d.results.Result`.

    A task is a subclass in a module of its own and a line in :data:`dense3d.results.result.PARTS`. It reads
    itself from a model's data sample and draws itself. Of ``to_coco``, ``to_kitti`` and ``to_labelme`` it has
    those formats that fit it; what it does not have is refused in one sentence.

    Attributes:
        fields: names of the attributes that the result shows as its own; those that are None are not shown.
        dropped: predictions that were left out because they are impossible, such as boxes of negative size.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    dropped: int = 0

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
