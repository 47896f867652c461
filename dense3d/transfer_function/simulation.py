"""Simulated people: where the next clicks fall, by two rules of the field.

``random``: each structure gets its clicks at random voxels of its interior, and the background three times as
many as one structure. ``error``: each click corrects the largest error that is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
from scipy import ndimage

from dense3d.errors import ConfigError, did_you_mean
from dense3d.transfer_function.prompts import BACKGROUND, Prompt

BACKGROUND_CLICKS = 3  # for each click of one structure, by the rule ``random``

Rule = Literal["random", "error"]


class Person(Protocol):
    """Who clicks round by round."""

    def next_clicks(self, labels: np.ndarray | None) -> list[Prompt]:
        """One round: about one click for each structure.

        Args:
            labels: (X, Y, Z) what was found after the rounds before, or None before the first.
        """


class RandomPerson:
    """Clicks at random, whatever was found.

    A round is one click in each structure and three in the background, each at a voxel drawn with equal
    chances, and with replacement, from those whose six neighbours have the same label and lie in the volume
    (from all of the label, where there are none such).

    Args:
        truth: (X, Y, Z) labels 1 .. C of the structures, 0 elsewhere.
        seed: of the draws. Rounds are the first of one sequence: five hold the first three.
    """

    def __init__(self, truth: np.ndarray, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._interior = {}
        for label in np.unique(truth):
            inside = ndimage.binary_erosion(truth == label)
            self._interior[int(label)] = np.argwhere(inside if inside.any() else truth == label)

    def next_clicks(self, labels: np.ndarray | None = None) -> list[Prompt]:
        """See :class:`Person`."""
        prompts = []
        for label, voxels in self._interior.items():
            number = BACKGROUND_CLICKS if label == BACKGROUND else 1
            chosen = voxels[self._rng.integers(0, len(voxels), number)].astype(np.int32)
            prompts += [Prompt(label, voxel[None]) for voxel in chosen]
        return prompts


class CorrectingPerson:
    """Clicks in the middle of the largest error of each structure.

    The errors of a structure are the face-connected components of what was missed of it and of what was
    wrongly taken for it. The click falls on the voxel of the largest one that is farthest from its
    border, in millimetres (drawn among equals), and names what is there: the structure, another, or
    background. Structures without an error get none. All clicks of a round answer the same result, and the
    first round, which has none yet, clicks each structure and no background.

    Args:
        truth: (X, Y, Z) labels 1 .. C of the structures, 0 elsewhere.
        spacing: millimetres between voxels.
        seed: of the draws among equals.
    """

    def __init__(self, truth: np.ndarray, spacing: tuple[float, float, float], seed: int = 0) -> None:
        self._truth, self._spacing = truth, spacing
        self._rng = np.random.default_rng(seed)

    def next_clicks(self, labels: np.ndarray | None = None) -> list[Prompt]:
        """See :class:`Person`."""
        found = np.zeros_like(self._truth) if labels is None else labels
        prompts = []
        for label in np.unique(self._truth[self._truth > 0]):
            voxel = self._middle_of_largest_error((self._truth == label), (found == label))
            if voxel is not None:
                prompts.append(Prompt(int(self._truth[tuple(voxel)]), voxel[None].astype(np.int32)))
        return prompts

    def _middle_of_largest_error(self, truth: np.ndarray, found: np.ndarray) -> np.ndarray | None:
        largest, size = None, 0
        for errors in (truth & ~found, found & ~truth):
            components, count = ndimage.label(errors)
            if count:
                sizes = np.bincount(components.ravel())[1:]
                if sizes.max() > size:
                    size, largest = sizes.max(), components == 1 + sizes.argmax()
        if largest is None:
            return None
        box = ndimage.find_objects(largest.astype(np.int8))[0]
        inside = np.pad(largest[box], 1)  # the border of the volume is one of the component
        depth = ndimage.distance_transform_edt(inside, sampling=self._spacing)
        deepest = np.argwhere(depth >= depth.max() - 1e-9)
        return deepest[self._rng.integers(len(deepest))] - 1 + [side.start for side in box]


def make_person(rule: str, truth: np.ndarray, spacing: tuple[float, float, float], seed: int) -> Person:
    """Who clicks by a rule.

    Raises:
        ConfigError: there is no such rule.
    """
    if rule == "random":
        return RandomPerson(truth, seed)
    if rule == "error":
        return CorrectingPerson(truth, spacing, seed)
    hint = did_you_mean(rule, ("random", "error")) or ": random or error"
    raise ConfigError(f"no rule of clicks is named {rule!r}{hint}")


def play(person: Person, classify, rounds: int) -> Iterator[tuple[int, np.ndarray]]:
    """Rounds of clicks and what is found after each.

    Args:
        person: who clicks.
        classify: all prompts so far to (X, Y, Z) labels.
        rounds: how many.

    Yields:
        Number of the round from 1, and the labels after it.
    """
    prompts: list[Prompt] = []
    labels = None
    for number in range(1, rounds + 1):
        prompts += person.next_clicks(labels)
        labels = classify(prompts)
        yield number, labels
