"""Frozen features of clouds, and classifiers on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from torch import Tensor

from dense3d.apis.building import checked_config, usable_device
from dense3d.apis.probe_data import batches_of, check_protocols, split_of
from dense3d.apis.setup import make_synthetic_data
from dense3d.errors import ConfigError
from dense3d.evaluation.pointcloud import accuracies, linear_svm, mlp_linear

if TYPE_CHECKING:
    from dense3d.pointcloud import PointTransformer

PROTOCOLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear-svm": linear_svm,
    "mlp-linear": mlp_linear,
}
BATCH = 32


@dataclass(frozen=True)
class Features:
    """Features ``(N, F)`` and labels ``(N,)`` of the clouds of a data set."""

    values: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ProbeScore:
    """Accuracy in percent on the test clouds: of all, and the mean over classes."""

    overall: float
    by_class: float


def probe_clouds(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    seed: int = 0,
    device: str | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, ProbeScore]:
    """Train classifiers on frozen features of the config's training clouds and try them on its test clouds.

    Args:
        config: of a ``PointClassifier``: its data, and the size of its backbone.
        checkpoint: of Point-MAE, a classifier or a part segmentor, ours or official; random weights without.
        protocols: ``"linear-svm"`` and ``"mlp-linear"``.
        seed: of random weights and of random numbers in the test pipeline.
        device: the GPU if there is one.
        options: settings that override the config's, by dotted key.

    Returns:
        A score for each protocol.

    Raises:
        ConfigError: an unknown protocol, or the config describes no classifier of clouds.
    """
    check_protocols(protocols, tuple(PROTOCOLS))
    cfg = checked_config(config, options)
    make_synthetic_data(cfg)
    network = frozen_network(cfg, checkpoint, seed, usable_device(device))
    train, test = (features_of(cfg, network, split, seed) for split in ("train", "test"))
    return score_features(train, test, protocols)


def score_features(train: Features, test: Features, protocols: Sequence[str]) -> dict[str, ProbeScore]:
    """Accuracies of classifiers on features."""
    found = {}
    for name in protocols:
        predicted = PROTOCOLS[name](train.values, train.labels, test.values)
        found[name] = ProbeScore(*accuracies(predicted.cpu().numpy(), test.labels.numpy()))
    return found


def frozen_network(
    cfg: Config, checkpoint: str | Path | None, seed: int, device: torch.device
) -> PointTransformer:
    """The backbone of a classifier's config in evaluation mode, with weights of a checkpoint or random ones.

    Raises:
        ConfigError: the config describes no classifier of clouds.
    """
    from dense3d.pointcloud import PointTransformer
    from dense3d.pointcloud.transformer import initialise, load_pretrained

    backbone = cfg.model.get("backbone") if cfg.get("model") is not None else None
    if backbone is None or str(cfg.model.type).rpartition(".")[2] != "PointClassifier":
        raise ConfigError(f"{cfg.filename or 'the config'} describes no PointClassifier")
    left_out = ("type", "init_cfg", "class_token", "frozen")
    set_random_seed(seed)
    network = PointTransformer(**{k: v for k, v in backbone.items() if k not in left_out})
    initialise(network)
    if checkpoint is not None:
        load_pretrained(network, checkpoint)
    return network.to(device).eval()


@torch.no_grad()
def features_of(cfg: Config, network: PointTransformer, split: str, seed: int = 0) -> Features:
    """Maximum and mean over the tokens ``(N, 2 C)`` of the clouds of a split, without augmentation.

    Args:
        cfg: the test pipeline prepares the clouds of both splits, and ``model.sampling`` their number.
        network: see :func:`frozen_network`.
        split: ``"train"`` or ``"test"``.
        seed: of random numbers in the pipeline, such as rotations that belong to the task.
    """
    from dense3d.pointcloud.batches import points_of
    from dense3d.pointcloud.sampling import PointSampling

    sampling = cfg.model.get("sampling")
    sampling = None if sampling is None else PointSampling(**sampling)
    device, values, labels = next(network.parameters()).device, [], []
    for batch in batches_of(cfg, split_of(cfg, split), device, BATCH, seed):
        points, lengths = points_of(batch["inputs"])
        if sampling is not None:
            points, lengths = sampling.test_points(points, lengths)
        tokens, _ = network(points, lengths)
        values.append(torch.cat([tokens.max(dim=1).values, tokens.mean(dim=1)], dim=1).cpu())
        labels += [int(sample.gt_label) for sample in batch["data_samples"]]
    return Features(torch.cat(values), torch.tensor(labels))
