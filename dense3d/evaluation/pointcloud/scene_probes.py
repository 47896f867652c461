"""Classifiers of points on frozen features: a linear layer, and the nearest neighbour.

The protocol of Hermosilla et al., "Masked Scene Modeling", CVPR 2025. What it leaves open is decided here:
batch norm before the layer, AdamW, cosine similarity, and class-balanced neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import DataError
from dense3d.evaluation.pointcloud.probes import train_layer

CHUNK = 1 << 24  # similarities that are computed at a time


class LinearProbe(nn.Module):
    """Batch norm without weights, and one linear layer.

    Args:
        in_channels: F.
        num_classes: C.

    Example:
        >>> LinearProbe(4, 2).eval()(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(in_channels, affine=False)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Scores ``(N, C)`` of features ``(N, F)``."""
        return self.linear(self.norm(features))

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Classes ``(N,)`` of features ``(N, F)``."""
        return self(features).argmax(dim=1)


def fit_linear_probe(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    epochs: int = 20,
    batch_size: int = 4096,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
) -> LinearProbe:
    """Train a linear layer on features of points by AdamW with cross entropy.

    Args:
        features: ``(N, F)``.
        labels: ``(N,)``, negative where a point has none and is left out.
        num_classes: C.
        epochs, batch_size, learning_rate, weight_decay: of the training; half a cosine without warm-up. Of
            few points, more epochs are trained, to 300 steps at least.
        seed: of the layer and the order of points.

    Raises:
        DataError: fewer than two points are labelled, or a label is no class.

    Example:
        >>> features = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> probe = fit_linear_probe(features, torch.tensor([0, 0, 1, -1]), 2)
        >>> probe.predict(features).tolist()
        [0, 0, 1, 1]
    """
    features, labels = labelled_points(features, labels, num_classes)
    random = torch.Generator().manual_seed(seed)
    probe = LinearProbe(features.shape[1], num_classes)
    with torch.no_grad():
        probe.linear.weight.copy_(0.01 * torch.randn(probe.linear.weight.shape, generator=random))
        probe.linear.bias.zero_()
    features, probe = features.float(), probe.to(features.device)
    probe.norm.running_mean.copy_(features.mean(dim=0))
    probe.norm.running_var.copy_(features.var(dim=0))
    probe.norm.eval()  # statistics of all points at once, which no order of batches changes
    steps = max(epochs * -(-len(features) // batch_size), 300)
    train_layer(probe, features, labels, steps, batch_size, learning_rate, weight_decay, random)
    return probe.eval()


class NearestNeighbour:
    """The class of the most similar of class-balanced training points, by the cosine of features.

    Features are standardised by the mean and deviation of the training points first.

    Args:
        features: ``(N, F)``.
        labels: ``(N,)``, negative where a point has none and is left out.
        num_classes: C.
        per_class: so many points of each class at most, drawn at random.
        seed: of the draw.

    Raises:
        DataError: fewer than two points are labelled, or a label is no class.

    Example:
        >>> features = torch.tensor([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]])
        >>> found = NearestNeighbour(features, torch.tensor([0, 0, 1]), 2)
        >>> found.predict(torch.tensor([[5.0, 0.1], [0.0, 3.0]])).tolist()
        [1, 0]
    """

    def __init__(
        self, features: Tensor, labels: Tensor, num_classes: int, per_class: int = 200, seed: int = 0
    ) -> None:
        features, labels = labelled_points(features, labels, num_classes)
        features = features.float()
        self.mean, self.deviation = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
        kept = balanced_choice(labels, per_class, seed)
        self.labels, self.references = labels[kept], self._unit(features[kept])

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Classes ``(N,)`` of features ``(N, F)``."""
        rows = max(CHUNK // len(self.references), 1)
        nearest = [(self._unit(part) @ self.references.T).argmax(dim=1) for part in features.split(rows)]
        return self.labels[torch.cat(nearest)] if nearest else self.labels[:0]

    def _unit(self, features: Tensor) -> Tensor:
        return F.normalize((features.float() - self.mean) / self.deviation, dim=1)


def balanced_choice(labels: Tensor, per_class: int, seed: int = 0) -> Tensor:
    """Indices of at most ``per_class`` random points of each class.

    Args:
        labels: ``(N,)``, not negative.
        per_class: see above.
        seed: of the draw.

    Example:
        >>> balanced_choice(torch.tensor([0, 1, 0, 0]), 1).shape
        torch.Size([2])
    """
    random = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=random).to(labels.device)
    order = shuffled[labels[shuffled].sort(stable=True).indices]  # by class, at random within it
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(labels), device=labels.device) - starts[labels[order]]
    return order[rank < per_class]


def labelled_points(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Features and labels of the points that have one.

    Raises:
        DataError: fewer than two have one, a label is no class, or the numbers differ.
    """
    if len(features) != len(labels):
        raise DataError(f"there are {len(labels)} labels for features of {len(features)} points")
    if len(labels) and int(labels.max()) >= num_classes:
        most = int(labels.max())
        raise DataError(f"a point has the label {most}; there are classes 0 to {num_classes - 1}")
    known = labels >= 0
    if int(known.sum()) < 2:
        raise DataError("a probe needs two labelled points at least: all others of its points are ignored")
    return features[known], labels[known]
