"""How Point-MAE's fine-tuning brings clouds to one size: spread candidates, a random part, stretching."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.ops import farthest_point_sample, gather_points
from dense3d.pointcloud.batches import padded

# points of the network's input -> how many spread ones they are drawn from, in the official code
CANDIDATES = {1024: 1200, 2048: 2400, 4096: 4800, 8192: 8192}
SCALE, SHIFT = (2 / 3, 3 / 2), 0.2


def scale_and_shift(points: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``points * scale + shift``, each cloud and axis with its own.

    Args:
        points: ``(B, N, 3)``.
        scale, shift: ``(B, 3)``; of float64 they are rounded once, as the official code does.

    Example:
        >>> scale_and_shift(torch.ones(1, 1, 3), torch.full((1, 3), 2.0), torch.zeros(1, 3)).tolist()
        [[[2.0, 2.0, 2.0]]]
    """
    return points * scale[:, None].to(points.dtype) + shift[:, None].to(points.dtype)


class PointSampling:
    """Clouds of any number of points to the network's number, as Point-MAE trains, tests and votes.

    In training ``num_candidates`` farthest points are taken, of these a random part, the same places in all
    clouds of a batch, and each cloud is stretched along each axis and moved. In tests the farthest
    ``num_points`` are taken. Random numbers are NumPy's global ones in training.

    Args:
        num_points: that the network is given; a cloud that has fewer stays as it is.
        num_candidates: of which training and voting draw; the official number for 1024, 2048, 4096 and 8192
            unless given.
        scale: least and greatest factor of an axis.
        shift: greatest distance along an axis.

    Raises:
        ConfigError: ``num_candidates`` is needed and not given, or is less than ``num_points``.

    Example:
        >>> PointSampling(4, 6).test_points(torch.rand(2, 10, 3), None)[0].shape
        torch.Size([2, 4, 3])
    """

    def __init__(
        self,
        num_points: int,
        num_candidates: int | None = None,
        scale: tuple[float, float] = SCALE,
        shift: float = SHIFT,
    ) -> None:
        if num_candidates is None:
            num_candidates = CANDIDATES.get(num_points)
        if num_candidates is None or num_candidates < num_points:
            raise ConfigError(
                f"sampling of num_points={num_points} with num_candidates={num_candidates}: give the number "
                "of farthest points that they are drawn from, as many or more"
            )
        self.num_points, self.num_candidates = num_points, num_candidates
        self.scale, self.shift = scale, shift

    def training_points(self, points: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Random points of a batch ``(B, N, 3)``, stretched and moved, and lengths where these differ."""
        return self._drawn(*_farthest(points, self.num_candidates, lengths), np.random)

    def test_points(self, points: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The farthest points of a batch ``(B, N, 3)``, and their lengths where these differ."""
        return _farthest(points, self.num_points, lengths)

    def votes(
        self, points: Tensor, lengths: Tensor | None, rounds: int, seed: int = 0
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """``rounds`` random draws from the same candidates, repeatable by their seed."""
        candidates = _farthest(points, self.num_candidates, lengths)
        random = np.random.RandomState(seed)
        for _ in range(rounds):
            yield self._drawn(*candidates, random)

    def _drawn(self, points: Tensor, lengths: Tensor | None, random) -> tuple[Tensor, Tensor | None]:
        """A random part of the candidates; of clouds of several sizes each has its own."""
        counts = [points.shape[1]] if lengths is None else lengths.tolist()
        choices = [random.choice(n, min(self.num_points, n), replace=False) for n in counts]
        places = [torch.from_numpy(choice).to(points.device) for choice in choices]
        if lengths is None:
            points = points[:, places[0]]
        else:
            points, lengths = padded([cloud[place] for cloud, place in zip(points, places)])
        shape = (len(points), 3)
        scale = random.uniform(*self.scale, shape)
        shift = random.uniform(-self.shift, self.shift, shape)
        moved = scale_and_shift(points, *(torch.from_numpy(x).to(points.device) for x in (scale, shift)))
        return moved, lengths


def _farthest(points: Tensor, number: int, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The ``number`` farthest points of each cloud, in their order; all where there are not more."""
    if lengths is None:
        number = min(number, points.shape[1])
        return gather_points(points, farthest_point_sample(points, number, skip_origin=True)), None
    clouds = [cloud[:n] for cloud, n in zip(points, lengths.tolist())]
    return padded([_farthest(cloud[None], number, None)[0][0] for cloud in clouds])
