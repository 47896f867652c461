"""Parts of a large file, one after the other, of which so many rows are kept as fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

CHUNK = 1 << 20  # rows that are read at once


class RowSampler:
    """A uniform random choice of rows of a stream whose length nobody knows.

    Each row draws a random key; the rows with the least keys stay. At most twice as many rows as are kept,
    and one part, are held.

    Args:
        most: how many rows are kept; None keeps all.
        seed: of the choice.

    Example:
        >>> sampler = RowSampler(3)
        >>> for start in range(0, 100, 10):
        ...     sampler.add({"value": np.arange(start, start + 10)})
        >>> kept = sampler.rows()["value"]
        >>> len(kept), sampler.count, bool((np.diff(kept) > 0).all())
        (3, 100, True)
    """

    def __init__(self, most: int | None = None, seed: int = 0) -> None:
        self.most, self.count = most, 0
        self._rng = np.random.default_rng(seed)
        self._parts: list[dict[str, np.ndarray]] = []
        self._keys: list[np.ndarray] = []
        self._held = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Take a part: arrays of equal length by name, the same names every time."""
        length = len(next(iter(rows.values())))
        self.count += length
        self._parts.append({name: np.array(values) for name, values in rows.items()})
        self._held += length
        if self.most is None:
            return
        self._keys.append(self._rng.random(length))
        if self._held > 2 * self.most:
            self._forget()

    def rows(self) -> dict[str, np.ndarray]:
        """The rows that are kept, in the order of the stream; empty if none was added."""
        if self.most is not None and self._held > self.most:
            self._forget()
        return _joined(self._parts)

    def _forget(self) -> None:
        keys = np.concatenate(self._keys)
        kept = np.sort(np.argpartition(keys, self.most - 1)[: self.most])
        self._parts = [{name: values[kept] for name, values in _joined(self._parts).items()}]
        self._keys, self._held = [keys[kept]], len(kept)


def parts_of(values: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of an array, which may lie on the disk, in parts of a size that memory holds."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def sample_rows(
    parts: Iterable[Mapping[str, np.ndarray]], most: int | None, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """The rows of all parts, or a random choice of ``most`` of them, and how many there were."""
    sampler = RowSampler(most, seed)
    for part in parts:
        sampler.add(part)
    return sampler.rows(), sampler.count


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if len(parts) < 2:
        return dict(parts[0]) if parts else {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
