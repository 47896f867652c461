"""Frozen features of scenes, and classifiers of points on them: the protocol of masked scene modelling.

Hermosilla et al., "Masked Scene Modeling", CVPR 2025; what it leaves open is decided in
:mod:`dense3d.evaluation.pointcloud.scene_probes`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from torch import Tensor

from dense3d.apis.building import build_checked, checked_config, usable_device
from dense3d.apis.probe_data import batches_of, check_protocols, split_of
from dense3d.apis.setup import make_synthetic_data
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.pointcloud import (
    NearestNeighbour,
    fit_linear_probe,
    point_confusion,
    scene_scores,
)

if TYPE_CHECKING:
    from dense3d.pointcloud import SceneSegmenter

PROTOCOLS: dict[str, Callable[..., Any]] = {"linear": fit_linear_probe, "nearest": NearestNeighbour}
PRETRAINED, RANDOM, RAW = "pre-trained", "random", "raw"
FEW = 1 << 16  # test points whose features are computed at a time
Rows = Callable[[Tensor], Tensor]  # features (K, F) of chosen points (K,)
Source = Callable[[dict[str, Any]], Rows]


@dataclass(frozen=True)
class ProbeKey:
    """What a probe was trained on.

    Attributes:
        source: ``"pre-trained"``, ``"random"`` weights, or ``"raw"`` height, normal and colour.
        protocol: ``"linear"`` or ``"nearest"``.
        share: of the training scenes or points, in percent.
    """

    source: str
    protocol: str
    share: float


@dataclass(frozen=True)
class SceneProbes:
    """Probes of one run.

    Attributes:
        seed: of the run.
        scores: figures of each probe, see :func:`~dense3d.evaluation.pointcloud.scene_scores`.
        scenes: training scenes of each share.
    """

    seed: int
    scores: dict[ProbeKey, dict[str, float]]
    scenes: dict[float, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingPoints:
    """Features ``(N, F)`` of points by their source, with the label ``(N,)`` and scene ``(N,)`` of each."""

    features: dict[str, Tensor]
    labels: Tensor
    scenes: Tensor


def probe_scenes(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    shares: Sequence[float] = (100.0,),
    of: str = "scenes",
    points: int = 500,
    baselines: bool = True,
    seed: int = 0,
    device: str | None = None,
    options: dict[str, Any] | None = None,
) -> SceneProbes:
    """Train classifiers on frozen features of points of training scenes and try them on all test points.

    Args:
        config: of a ``SceneSegmenter``: its data, and the size of its backbone.
        checkpoint: of masked scene modelling or a segmenter, ours or official; none for the baselines alone.
        protocols: ``"linear"`` and ``"nearest"``.
        shares: of the training data whose labels are used, in percent. Smaller shares are parts of larger
            ones, and each has one scene at least.
        of: what shares are of: ``"scenes"`` as in the field, or labelled ``"points"`` of all scenes.
        points: labelled points of each training scene at most, drawn at random.
        baselines: also probe random weights, and height, normal and colour of points as they are.
        seed: of random weights, and of what is drawn.
        device: the GPU if there is one.
        options: settings that override the config's, by dotted key.

    Returns:
        The figures of each probe.

    Raises:
        ConfigError: an unknown protocol or share, or the config describes no segmenter of scenes.
        DataError: a label is no class, labels do not go with the points, or none is labelled.
    """
    check_protocols(protocols, tuple(PROTOCOLS))
    if of not in ("scenes", "points") or not shares or not all(0 < share <= 100 for share in shares):
        raise ConfigError(f"shares={list(shares)} of {of!r}: give percents above 0, of 'scenes' or 'points'")
    if checkpoint is None and not baselines:
        raise ConfigError("there is nothing to probe: give a checkpoint, or let the baselines be probed")
    cfg = checked_config(config, options)
    make_synthetic_data(cfg)
    networks = {}
    if checkpoint is not None:
        networks[PRETRAINED] = frozen_segmenter(cfg, checkpoint, seed, usable_device(device))
    if baselines:
        networks[RANDOM] = frozen_segmenter(cfg, None, seed, usable_device(device))
    sources = {name: _features_of(network) for name, network in networks.items()}
    if baselines:
        sources[RAW] = lambda inputs: partial(raw_features, inputs)
    (some, *_) = networks.values()
    train = training_points(cfg, sources, some, points, seed)
    probes, scenes = {}, {}
    for share in shares:
        kept = chosen_points(train, share, of, seed)
        scenes[share] = len(train.scenes[kept].unique())
        for name, features in train.features.items():
            for protocol in protocols:
                probe = PROTOCOLS[protocol](features[kept], train.labels[kept], some.num_classes, seed=seed)
                probes[ProbeKey(name, protocol, share)] = probe
    return SceneProbes(seed, _tested(cfg, sources, some, probes, seed), scenes)


def frozen_segmenter(
    cfg: Config, checkpoint: str | Path | None, seed: int, device: torch.device
) -> SceneSegmenter:
    """The segmenter of a config in evaluation mode, its backbone with weights of a checkpoint or random ones.

    Raises:
        ConfigError: the config describes no segmenter of scenes, or one that cannot be built.
    """
    from dense3d.pointcloud.hunet.loading import load_pretrained

    model = cfg.get("model") or {}
    if str(model.get("type")).rpartition(".")[2] != "SceneSegmenter":
        raise ConfigError(f"{cfg.filename or 'the config'} describes no SceneSegmenter")
    own = copy.deepcopy(cfg)
    start = own.model.get("backbone", {}).pop("init_cfg", None) or {}
    own.model.frozen = True
    set_random_seed(seed)
    network = build_checked(own)
    if checkpoint is not None:
        load_pretrained(network.backbone, checkpoint, start.get("prefix"))
    return network.to(device).eval()


def raw_features(inputs: dict[str, Any], chosen: Tensor) -> Tensor:
    """Height above the lowest percent of the scene's points, then their features as they came.

    Args:
        inputs: of one scene, with ``points`` (1, N, 3) and ``features`` (1, N, F) or None.
        chosen: ``(K,)`` points that are wanted.

    Returns:
        ``(K, 1 + F)``.
    """
    heights = inputs["points"].flatten(0, -2)[:, 2:]
    found = heights - float(np.percentile(heights.cpu().numpy(), 1))
    if inputs.get("features") is not None:
        found = torch.cat([found, inputs["features"].flatten(0, -2)], dim=1)
    return found[chosen]


def training_points(
    cfg: Config, sources: dict[str, Source], network: SceneSegmenter, points: int, seed: int
) -> TrainingPoints:
    """Features and labels of random labelled points of each training scene.

    Args:
        cfg: names the data.
        sources: what gives features.
        network: tells the number of classes and the device.
        points: of each scene at most.
        seed: of the draw.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in sources}
    labels, scenes = [], []
    for number, (inputs, label) in enumerate(_scenes(cfg, "train", network, seed)):
        random = torch.Generator().manual_seed(1_000_003 * seed + number)
        labelled = (label >= 0).nonzero()[:, 0].cpu()
        chosen = labelled[torch.randperm(len(labelled), generator=random)[:points]].sort().values
        chosen = chosen.to(label.device)
        for name, source in sources.items():
            found[name].append(source(inputs)(chosen))
        labels.append(label[chosen])
        scenes.append(torch.full_like(chosen, number))
    joined = torch.cat(labels)
    if not len(joined):
        raise DataError("no point of the training scenes has a label: all of them are ignored")
    return TrainingPoints(
        {name: torch.cat(parts) for name, parts in found.items()}, joined, torch.cat(scenes)
    )


def chosen_points(train: TrainingPoints, share: float, of: str, seed: int) -> Tensor:
    """``(N,)`` bool: the points of a share of the scenes, or a share of all points.

    Args:
        train: of all scenes.
        share: in percent.
        of: ``"scenes"`` or ``"points"``.
        seed: of the order in which scenes or points are taken, the same for all shares.
    """
    random = torch.Generator().manual_seed(seed)
    groups = train.scenes if of == "scenes" else torch.arange(len(train.labels), device=train.labels.device)
    count = int(groups.max()) + 1
    order = torch.randperm(count, generator=random).to(groups.device)
    kept = torch.zeros(count, dtype=torch.bool, device=groups.device)
    kept[order[: max(1, round(share / 100 * count))]] = True
    return kept[groups]


def _features_of(network: SceneSegmenter) -> Source:
    """Features of all levels at points of one scene."""
    from dense3d.pointcloud.voxel_batch import clouds_of

    def rows(inputs: dict[str, Any]) -> Rows:
        return network.sampler(*clouds_of(inputs, network.backbone.in_channels))

    return rows


def _one_of_each_voxel(inputs: dict[str, Any], network: SceneSegmenter) -> tuple[Tensor, Tensor]:
    """``(V,)`` a point of each voxel, and ``(N,)`` the voxel of each: points of one share their features."""
    from dense3d.pointcloud.voxel_batch import clouds_of, voxel_batch

    clouds = clouds_of(inputs, network.backbone.in_channels)
    voxel = voxel_batch(*clouds, network.voxel_size).voxel
    point = torch.arange(len(voxel), device=voxel.device)
    return point.new_zeros(int(voxel.max()) + 1).scatter(0, voxel, point), voxel


def _scenes(cfg: Config, split: str, network: SceneSegmenter, seed: int) -> Any:
    """Inputs and labels ``(N,)`` of one scene after the other."""
    from dense3d.pointcloud.point_labels import point_labels

    device = next(network.parameters()).device
    for batch in batches_of(cfg, split_of(cfg, split), device, 1, seed):
        count = batch["inputs"]["points"].shape[-2]
        yield batch["inputs"], point_labels(batch["data_samples"], [count], network.num_classes).to(device)


def _tested(
    cfg: Config,
    sources: dict[str, Source],
    network: SceneSegmenter,
    probes: dict[ProbeKey, Any],
    seed: int,
) -> dict[ProbeKey, dict[str, float]]:
    """Figures over all points of the test scenes."""
    number = network.num_classes
    confusion = {key: np.zeros((number, number), dtype=np.int64) for key in probes}
    dataset = split_of(cfg, "test")
    names = tuple(dataset.metainfo.get("classes") or map(str, range(number)))
    for inputs, labels in _scenes(cfg, "test", network, seed):
        truth = labels.cpu().numpy()
        some, voxel = _one_of_each_voxel(inputs, network)
        for name, source in sources.items():
            rows, own = source(inputs), [key for key in probes if key.source == name]
            wanted = torch.arange(len(labels), device=labels.device) if name == RAW else some
            predicted: dict[ProbeKey, list[Tensor]] = {key: [] for key in own}
            for part in wanted.split(FEW):
                features = rows(part)
                for key in own:
                    predicted[key].append(probes[key].predict(features))
            for key in own:
                classes = torch.cat(predicted[key])
                classes = classes if name == RAW else classes[voxel]
                confusion[key] += point_confusion(classes.cpu().numpy(), truth, number)
    return {key: scene_scores(counts, names) for key, counts in confusion.items()}
