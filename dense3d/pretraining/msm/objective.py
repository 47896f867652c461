"""What masked scene modelling compares: predicted features of hidden voxels with those of a teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError

LOSSES = ("smooth_l1", "cosine")
TARGETS = ("layer", "whitened")


class FeaturePredictor(nn.Sequential):
    """Two linear layers with GELU between, from a student's features to a teacher's.

    Args:
        channels: of both.
        hidden: channels between.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


def check_choice(setting: str, name: str, known: tuple[str, ...]) -> str:
    """The name of a loss or of a kind of targets, if there is one.

    Raises:
        ConfigError: there is none.
    """
    if name not in known:
        raise ConfigError(f"{setting}={name!r}: use one of {', '.join(map(repr, known))}")
    return name


def feature_errors(predicted: Tensor, target: Tensor, loss: str) -> Tensor:
    """The error ``(K,)`` of each predicted feature.

    Args:
        predicted, target: ``(K, C)``; of the target, the direction and length count as they are.
        loss: ``"smooth_l1"``, the mean over channels; or ``"cosine"``, one minus the cosine.

    Example:
        >>> feature_errors(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]]), "cosine").tolist()
        [0.0]
    """
    predicted, target = predicted.float(), target.float()
    if loss == "cosine":
        return 1 - F.cosine_similarity(predicted, target, dim=1)
    return F.smooth_l1_loss(predicted, target, reduction="none").mean(dim=1)


def normalised(features: Tensor) -> Tensor:
    """Layer norm without weights, in float32: ``(V, C)`` to the same."""
    return F.layer_norm(features.float(), features.shape[1:])


def spread(features: Tensor) -> Tensor:
    """How much features differ from voxel to voxel: 0 where all are one, about 1 where they share nothing.

    The standard deviation over voxels of features scaled to unit length, the root mean square over channels
    times the root of their number.

    Args:
        features: ``(V, C)``.

    Example:
        >>> spread(torch.ones(5, 3)).item(), round(spread(torch.eye(3)).item(), 3)
        (0.0, 0.816)
    """
    unit = F.normalize(features.float(), dim=1)
    return unit.var(dim=0, correction=0).sum().sqrt()


def effective_rank(features: Tensor) -> Tensor:
    """How many directions features take: the exponential of the entropy of their covariance's eigenvalues.

    Roy and Vetterli, "The Effective Rank", EUSIPCO 2007.

    Args:
        features: ``(V, C)``.

    Example:
        >>> round(effective_rank(torch.eye(4)).item(), 3), round(effective_rank(torch.ones(5, 3)).item(), 3)
        (3.0, 1.0)
    """
    centred = features.float() - features.float().mean(dim=0)
    with torch.autocast(features.device.type, enabled=False):  # eigenvalues are of float32
        values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    share = values / values.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum().exp()
