"""Classifiers on frozen features: a linear support vector machine, and one linear layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.optional import require


def linear_svm(train: Tensor, train_labels: Tensor, test: Tensor, regularisation: float = 0.01) -> Tensor:
    """Classes of test features by a linear support vector machine (scikit-learn's ``LinearSVC``).

    The protocol of the field since Achlioptas et al., ICML 2018. Features are standardised by mean and
    deviation of the training ones: at one strength of regularisation, what networks reach on raw features
    says more about the scale of these than about the networks.

    Args:
        train: ``(N, F)``.
        train_labels: ``(N,)``.
        test: ``(M, F)``.
        regularisation: C, the inverse strength.

    Returns:
        ``(M,)``.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    svm = require("sklearn.svm", "linear support vector machines")
    train, test = _standardised(train, test)
    classifier = svm.LinearSVC(C=regularisation, dual="auto", random_state=0)
    classifier.fit(train.cpu().double().numpy(), train_labels.cpu().numpy())
    return torch.from_numpy(classifier.predict(test.cpu().double().numpy()))


def mlp_linear(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.05,
    seed: int = 0,
) -> Tensor:
    """Classes of test features by one linear layer, trained by AdamW with cross entropy.

    The "MLP-linear" protocol (Dong et al., "Autoencoders as Cross-Modal Teachers", ICLR 2023) on features
    that are computed once. Features are standardised by mean and deviation of the training ones, since no
    weights before the layer can bring them to scale.

    Args:
        train: ``(N, F)``.
        train_labels: ``(N,)``.
        test: ``(M, F)``.
        epochs, batch_size, learning_rate, weight_decay: of the training; half a cosine without warm-up.
        seed: of the layer and the order of samples.

    Returns:
        ``(M,)``.

    Example:
        >>> features = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> mlp_linear(features, torch.tensor([0, 0, 1, 1]), features, learning_rate=0.1).tolist()
        [0, 0, 1, 1]
    """
    train, test = _standardised(train, test)
    random = torch.Generator().manual_seed(seed)
    layer = nn.Linear(train.shape[1], int(train_labels.max()) + 1, device=train.device)
    with torch.no_grad():
        layer.weight.copy_(0.01 * torch.randn(layer.weight.shape, generator=random))
        layer.bias.zero_()
    steps = epochs * -(-len(train) // batch_size)
    train_layer(layer, train, train_labels, steps, batch_size, learning_rate, weight_decay, random)
    with torch.no_grad():
        return layer(test).argmax(dim=1)


def train_layer(
    layer: nn.Module,
    features: Tensor,
    labels: Tensor,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    random: torch.Generator | None = None,
) -> None:
    """Train a classifier on features by AdamW with cross entropy, half a cosine without warm-up.

    Args:
        layer: gives scores ``(B, C)``.
        features: ``(N, F)``.
        labels: ``(N,)``.
        steps: of the optimiser, epoch after epoch.
        batch_size, learning_rate, weight_decay: of the training.
        random: draws the order of each epoch.
    """
    optimizer = torch.optim.AdamW(layer.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    done = 0
    while done < steps:
        for chosen in torch.randperm(len(features), generator=random).split(batch_size)[: steps - done]:
            chosen = chosen.to(features.device)
            optimizer.zero_grad()
            F.cross_entropy(layer(features[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
            done += 1


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both less the mean of the training features, over their deviation."""
    mean, deviation = train.mean(dim=0), train.std(dim=0, correction=0).clamp(min=1e-6)
    return (train - mean) / deviation, (test - mean) / deviation
