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
    if not isinstance(inputs, Mapping):
        inputs = {"points": inputs}
    if inputs.get("features") is not None:
        raise DataError(
            "this network reads coordinates alone and would ignore the features (colours, normals) of the "
            "clouds: leave them out of the pipeline's PackPointInputs"
        )
    points, lengths = inputs["points"], inputs.get("lengths")
    if points.ndim != (3 if lengths is None else 2) or points.shape[-1] != 3:
        raise DataError(f"a batch of clouds is (B, N, 3), or (N, 3) with lengths, not {tuple(points.shape)}")
    return (points, None) if lengths is None else padded(points.split(lengths.tolist()))


def padded(clouds: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Clouds ``(N_i, 3)`` as ``(B, N, 3)``, zeros at the end, and their lengths; None where all are equal.

    Example:
        >>> padded([torch.ones(2, 3), torch.ones(2, 3)])[1] is None
        True
    """
    lengths = [len(cloud) for cloud in clouds]
    if len(set(lengths)) == 1:
        return torch.stack(list(clouds)), None
    points = torch.nn.utils.rnn.pad_sequence(list(clouds), batch_first=True)
    return points, torch.tensor(lengths, device=points.device)
