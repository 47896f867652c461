"""From prompts to the annotations that a similarity map is made of.

The paper has clicks for a class only. Ours: a stroke, lasso or box stands for a few of its voxels, chosen so
that their features differ most; negative prompts, and positive ones of the background, make maps of their own
that are taken off the class's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.transfer_function.prompts import BACKGROUND, Prompt
from dense3d.transfer_function.similarity import relative_coordinates, sample_features

MOST_QUERIES = 16  # of one stroke, lasso or box


def check_inside(prompt: Prompt, shape: Sequence[int]) -> None:
    """Complain about voxels outside of the volume.

    Raises:
        DataError: there is one, or the prompt has no voxel.
    """
    voxels = np.asarray(prompt.voxels)
    if voxels.ndim != 2 or voxels.shape[1] != 3 or len(voxels) == 0:
        raise DataError(
            f"a {prompt.kind} of class {prompt.class_id} has no voxels: mark some, or leave it out"
        )
    outside = ((voxels < 0) | (voxels >= np.asarray(shape))).any(1)
    if outside.any():
        place = ", ".join(str(int(i)) for i in voxels[outside][0])
        raise DataError(
            f"voxel ({place}) of a {prompt.kind} lies outside of the volume of "
            f"{' x '.join(str(int(n)) for n in shape)} voxels: click inside of it"
        )


def annotations_of(
    prompt: Prompt, features: Tensor, shape: Sequence[int], most: int = MOST_QUERIES
) -> tuple[Tensor, Tensor]:
    """Relative coordinates (A, 3) and features (A, F) of the annotations that a prompt stands for.

    A point is one annotation a voxel, as in the paper. Of anything larger the voxels of each cell are one
    candidate, at their mean; of more than ``most`` candidates those are taken that are farthest from each
    other in features, beginning with the one that is nearest to their mean.

    Args:
        prompt: its voxels lie inside.
        features: normalised (F, W', H', D').
        shape: of the volume that the voxels are indices of.
        most: annotations of one prompt that is no point.
    """
    voxels = np.asarray(prompt.voxels, np.int64)
    if prompt.kind != "point":
        voxels = cell_means(voxels, shape, tuple(features.shape[1:]))
    relative = relative_coordinates(torch.from_numpy(voxels).to(features.device), shape)
    queries = sample_features(features, relative)
    if prompt.kind == "point":
        return relative, queries
    if len(queries) > most:
        chosen = _farthest(queries, most)
        relative, queries = relative[chosen], queries[chosen]
    return relative, queries


def cell_means(voxels: np.ndarray, shape: Sequence[int], cells: Sequence[int]) -> np.ndarray:
    """Mean index (K, 3) of the voxels (N, 3) in each cell that has some.

    Example:
        >>> cell_means(np.array([[0, 0, 0], [1, 0, 0], [9, 0, 0]]), (10, 1, 1), (5, 1, 1)).tolist()
        [[0.5, 0.0, 0.0], [9.0, 0.0, 0.0]]
    """
    place = (2 * voxels + 1) * np.asarray(cells) // (2 * np.asarray(shape))
    flat = np.ravel_multi_index(tuple(place.T), tuple(cells))
    counts = np.bincount(flat)
    used = np.flatnonzero(counts)
    sums = [np.bincount(flat, voxels[:, axis])[used] for axis in range(3)]
    return np.stack(sums, axis=1) / counts[used, None]


def _farthest(queries: Tensor, count: int) -> Tensor:
    """Indices of rows that differ most, from the one nearest to the mean on."""
    unit = torch.nn.functional.normalize(queries, dim=1)
    chosen = [int((unit @ unit.mean(0)).argmax())]
    nearest = unit @ unit[chosen[0]]  # to those that are chosen
    while len(chosen) < count:
        chosen.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, unit @ unit[chosen[-1]])
    return torch.tensor(chosen, device=queries.device)


def for_class(prompts: Sequence[Prompt], class_id: int) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts that speak for a class and those that speak against it.

    Against it are its own negative ones and the positive ones of the background.
    """
    own = [p for p in prompts if p.class_id == class_id]
    background = [p for p in prompts if p.class_id == BACKGROUND and p.positive]
    return [p for p in own if p.positive], [*(p for p in own if not p.positive), *background]
