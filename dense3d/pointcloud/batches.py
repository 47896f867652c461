"""Batches of clouds as the networks take them: one tensor, padded where clouds differ in size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dense3d.errors import DataError


def points_of(inputs: Tensor | Mapping[str, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """Coordinates of a batch.

    Args:
        inputs: ``(B, N, 3)``, or what :class:`dense3d.pointcloud.PointDataPreprocessor` gives: ``points``,
            ``lengths`` and ``features``.

    Returns:
        ``(B, N, 3)``, and ``(B,)`` with the number of points of each cloud where they differ; the rows after
        the last point of a shorter cloud are zeros.

    Raises:
        DataError: the batch is no cloud of coordinates, or comes with features, which a network of
            coordinates would ignore.

    Example:
        >>> points, lengths = points_of({"points": torch.ones(3, 3), "lengths": torch.tensor([2, 1])})
        >>> points.shape, lengths.tolist()
        (torch.Size([2, 2, 3]), [2, 1])
    """
    points, features, lengths = clouds_of(inputs)
    if features is not None:
        raise DataError(
            "this network reads coordinates alone and would ignore the features (colours, normals) of the "
            "clouds: leave them out of the pipeline's PackPointInputs"
        )
    return points, lengths


def clouds_of(
    inputs: Tensor | Mapping[str, Tensor | None],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Coordinates of a batch and the features of its points.

    Args:
        inputs: as for :func:`points_of`.

    Returns:
        ``(B, N, 3)``; ``(B, N, F)`` or None; and ``(B,)``, the number of points of each cloud where they
        differ, or None.

    Raises:
        DataError: the batch is no cloud of coordinates.

    Example:
        >>> batch = dict(points=torch.ones(3, 3), features=torch.ones(3, 1), lengths=torch.tensor([2, 1]))
        >>> [tuple(x.shape) for x in clouds_of(batch)]
        [(2, 2, 3), (2, 2, 1), (2,)]
    """
    if not isinstance(inputs, Mapping):
        inputs = {"points": inputs}
    points, features, lengths = inputs["points"], inputs.get("features"), inputs.get("lengths")
    if points.ndim != (3 if lengths is None else 2) or points.shape[-1] != 3:
        raise DataError(f"a batch of clouds is (B, N, 3), or (N, 3) with lengths, not {tuple(points.shape)}")
    if lengths is None:
        return points, features, None
    counts = lengths.tolist()
    points, lengths = padded(points.split(counts))
    return points, None if features is None else padded(features.split(counts))[0], lengths


def padded(clouds: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Clouds ``(N_i, C)`` as ``(B, N, C)``, zeros at the end, and their lengths; None where all are equal.

    Example:
        >>> padded([torch.ones(2, 3), torch.ones(2, 3)])[1] is None
        True
    """
    lengths = [len(cloud) for cloud in clouds]
    if len(set(lengths)) == 1:
        return torch.stack(list(clouds)), None
    points = torch.nn.utils.rnn.pad_sequence(list(clouds), batch_first=True)
    return points, torch.tensor(lengths, device=points.device)
