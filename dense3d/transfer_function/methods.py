"""The methods that turn marks into scores, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.errors import ConfigError, did_you_mean
from dense3d.structures.volume import Volume
from dense3d.transfer_function.classifier import Classifier, Progress
from dense3d.transfer_function.prompts import Prompt


@dataclass(frozen=True)
class Method:
    """One of them.

    Args:
        label: what a page calls it.
        make: gives the classifier of a volume at working resolution; ``checkpoint`` is a file, or None.
    """

    label: str
    make: Callable[[Volume, str | None], Classifier]


def method_names(checkpoint: str | None = None) -> list[str]:
    """The methods that can be chosen, the default first."""
    return list(METHODS)


def make_classifier(name: str, volume: Volume, checkpoint: str | None = None) -> Classifier:
    """The classifier of a method, not prepared yet.

    Raises:
        ConfigError: there is no such method.
    """
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(f"there is no method {name!r}{did_you_mean(name, METHODS) or ';'} methods: {known}")
    return METHODS[name].make(volume, checkpoint)


class _IntensityScores:
    def __init__(self, class_ids: tuple[int, ...], values: np.ndarray, means: list, width: float) -> None:
        self.class_ids, self._values, self._means, self._width = class_ids, values, means, width

    def _of(self, values: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(self.class_ids), *values.shape), np.uint8)
        for column, mean in enumerate(self._means):
            if mean is not None:
                scores[column] = 255 * np.exp(-(((values - mean) / self._width) ** 2))
        return scores

    def plane(self, axis: int, index: int) -> np.ndarray:
        return self._of(np.take(self._values, index, axis).astype(np.float32))

    def volume(self) -> np.ndarray:
        return self._of(self._values.astype(np.float32))


class _Intensity:
    """Likeness of intensity alone."""

    name = "intensity"
    ready = True

    def __init__(self, volume: Volume, checkpoint: str | None) -> None:
        self._values = volume.values
        self._width = max(0.1 * float(volume.values.std()), 1e-6)

    def prepare(self, progress: Progress) -> None:
        progress(1.0, "nothing to prepare", None)

    def classify(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> _IntensityScores:
        means = []
        for class_id in class_ids:
            own = [p.voxels for p in prompts if p.class_id == class_id and p.positive]
            means.append(float(self._values[tuple(np.concatenate(own).T)].mean()) if own else None)
        return _IntensityScores(tuple(class_ids), self._values, means, self._width)


METHODS: dict[str, Method] = {"intensity": Method("Likeness of intensity", _Intensity)}
