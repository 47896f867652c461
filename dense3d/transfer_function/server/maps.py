"""The scores that pages hold as textures: which class sits in which channel, and what of it changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dense3d.transfer_function.server.protocol import binary, interleave

SLAB_BYTES = 2**22  # of one message, so that what is urgent does not wait long behind it


@dataclass(frozen=True)
class Region:
    """A box of voxels of the working grid: first corner and one past the last."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def union(self, other: Region | None) -> Region:
        """The smallest box around both."""
        if other is None:
            return self
        low = tuple(min(pair) for pair in zip(self.low, other.low))
        return Region(low, tuple(max(pair) for pair in zip(self.high, other.high)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        return tuple(high - low for low, high in zip(self.low, self.high))

    def first_slab(self) -> tuple[Region, Region | None]:
        """Slices along z that fit in one message, and what remains."""
        x, y, z = self.shape
        count = max(1, SLAB_BYTES // (4 * x * y))
        if count >= z:
            return self, None
        middle = self.low[2] + count
        return Region(self.low, (*self.high[:2], middle)), Region((*self.low[:2], middle), self.high)


class Slots:
    """The channel of each class, which it keeps while it is there: slot 4 * group + channel."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def update(self, class_ids: Sequence[int]) -> None:
        """Give new classes a slot, and free those of classes that are gone."""
        self.ids = [one if one in class_ids else 0 for one in self.ids]
        for class_id in class_ids:
            if class_id not in self.ids:
                if 0 not in self.ids:
                    self.ids += [0, 0, 0, 0]
                self.ids[self.ids.index(0)] = class_id


@dataclass
class Maps:
    """Scores of the whole working grid at one revision.

    Args:
        shape: of the working grid.
        revision: of the document that they belong to.
        ids: the class of each slot, 0: none.
        scores: (X, Y, Z) uint8 of each slot, or None.
    """

    shape: tuple[int, int, int]
    revision: int = 0
    ids: list[int] = field(default_factory=list)
    scores: list[np.ndarray | None] = field(default_factory=list)
    whole_scores: np.ndarray | None = None  # (C, X, Y, Z) that the others are of

    @property
    def whole(self) -> Region:
        """The working grid."""
        return Region((0, 0, 0), self.shape)

    def plane(self, axis: int, index: int) -> Region:
        """A slice of it."""
        low, high = [0, 0, 0], list(self.shape)
        low[axis], high[axis] = index, index + 1
        return Region(tuple(low), tuple(high))

    def replaced(
        self, revision: int, ids: list[int], class_ids: Sequence[int], scores: np.ndarray
    ) -> tuple[Maps, dict[int, Region]]:
        """New maps, and for each group the box in which they differ from these.

        Args:
            revision: of the new ones.
            ids: the class of each slot.
            class_ids: of the scores.
            scores: (C, X, Y, Z) uint8.
        """
        if scores is self.whole_scores and ids == self.ids:
            return replace(self, revision=revision), {}  # a threshold or a colour has changed
        kept = [scores[class_ids.index(one)] if one in class_ids else None for one in ids]
        changed: dict[int, Region] = {}
        for slot, (one, new) in enumerate(zip(ids, kept)):
            old = self.scores[slot] if slot < len(self.scores) else None
            region = _difference(old, new)
            group = slot // 4
            if region is None and one != (self.ids[slot] if slot < len(self.ids) else 0):
                region = Region((0, 0, 0), (1, 1, 1))  # pages learn of the class from a message of its group
            if region is not None:
                changed[group] = region.union(changed.get(group))
        return Maps(self.shape, revision, ids, kept, scores), changed

    def message(self, group: int, region: Region, last: bool) -> bytes:
        """The message that brings a box of one group."""
        place = tuple(slice(low, high) for low, high in zip(region.low, region.high))
        channels = [None if one is None else one[place] for one in self.scores[4 * group : 4 * group + 4]]
        header = {
            "type": "maps",
            "revision": self.revision,
            "groups": [group],
            "class_ids": self.ids[4 * group : 4 * group + 4],
            "offset": region.low,
            "shape": region.shape,
            **({"last": True} if last else {}),
        }
        return binary(header, interleave(channels, region.shape).data)

    def bytes(self) -> Iterator[bytes]:
        """RGBA8 of all groups, one after another, in parts."""
        for group in range(len(self.ids) // 4):
            rest: Region | None = self.whole
            while rest is not None:
                part, rest = rest.first_slab()
                place = tuple(slice(low, high) for low, high in zip(part.low, part.high))
                channels = [
                    None if one is None else one[place] for one in self.scores[4 * group : 4 * group + 4]
                ]
                yield interleave(channels, part.shape).tobytes()


def plane_message(
    revision: int, ids: list[int], class_ids: Sequence[int], axis: int, index: int, plane: np.ndarray
) -> bytes:
    """The message that brings one slice of all groups.

    Args:
        revision: of the document.
        ids: the class of each slot.
        class_ids: of the plane.
        axis: across which the slice is.
        index: of the slice, in the working grid.
        plane: (C, A, B) uint8.
    """
    shape = list(plane.shape[1:])
    shape.insert(axis, 1)
    box = np.expand_dims(plane, axis + 1)
    channels = [box[class_ids.index(one)] if one in class_ids else None for one in ids]
    groups = [interleave(channels[slot : slot + 4], tuple(shape)) for slot in range(0, len(ids), 4)]
    header = {
        "type": "planes",
        "revision": revision,
        "axis": axis,
        "index": index,
        "groups": list(range(len(groups))),
        "class_ids": ids,
        "offset": [index if other == axis else 0 for other in range(3)],
        "shape": shape,
    }
    return binary(header, b"".join(group.tobytes() for group in groups))


def _difference(old: np.ndarray | None, new: np.ndarray | None) -> Region | None:
    """The box around the voxels that differ; None is all zero."""
    if old is None and new is None:
        return None
    differ = old != new if old is not None and new is not None else (new if old is None else old) != 0
    low, high = [], []
    for axis in range(3):
        along = differ.any(tuple(other for other in range(3) if other != axis)).nonzero()[0]
        if not len(along):
            return None
        low.append(int(along[0]))
        high.append(int(along[-1]) + 1)
    return Region(tuple(low), tuple(high))
