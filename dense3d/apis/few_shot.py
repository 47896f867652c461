"""Few-shot classification of clouds: folds, mean and deviation, a pre-trained start beside a random one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.building import checked_config, usable_device
from dense3d.apis.cloud_probes import PROTOCOLS, features_of, frozen_network, score_features
from dense3d.apis.comparison import read_curve
from dense3d.apis.probe_data import check_protocols
from dense3d.apis.setup import make_synthetic_data
from dense3d.apis.training import train
from dense3d.errors import ConfigError
from dense3d.evaluation.pointcloud import FewShotSummary, summarise
from dense3d.files import atomic_write

FINE_TUNE = "fine-tune"
METRIC = "point/overall_accuracy"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FoldScore:
    """Accuracies in percent on the test clouds of a fold.

    Attributes:
        fold: its number.
        last: at the end of training, or of a classifier on frozen features.
        best: the best evaluation during fine-tuning, chosen on the test clouds as published figures are;
            ``last`` for frozen features.
    """

    fold: int
    last: float
    best: float


@dataclass(frozen=True)
class FewShotRun:
    """The folds of one start.

    Attributes:
        start: ``"pre-trained"`` or ``"random"``.
        folds: in their order.
    """

    start: str
    folds: tuple[FoldScore, ...]

    @property
    def last(self) -> FewShotSummary:
        """Over the folds, at the end of training."""
        return summarise([fold.last for fold in self.folds])

    @property
    def best(self) -> FewShotSummary:
        """Over the folds, of the best evaluations."""
        return summarise([fold.best for fold in self.folds])


def few_shot(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    protocol: str = FINE_TUNE,
    folds: int = 10,
    compare: bool = False,
    work_dir: str | Path | None = None,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    tell: Callable[[str, FoldScore], None] | None = None,
) -> list[FewShotRun]:
    """Run the folds of a few-shot config.

    Args:
        config: of a ``PointClassifier`` whose data sets have a ``fold``.
        checkpoint: to start from; random weights without.
        protocol: ``"fine-tune"`` trains the config on each fold; ``"linear-svm"`` and ``"mlp-linear"`` train
            a classifier on frozen features.
        folds: the first so many; the number of a fold is also the seed of its run.
        compare: also start from random weights, on the same folds with the same seeds.
        work_dir: folder for the runs and ``few_shot.json``; ``work_dirs/<config name>`` by default.
        device: for frozen features; the GPU if there is one.
        options: settings that override the config's, by dotted key.
        tell: told of each fold that is done.

    Returns:
        The run from the checkpoint (or random weights), and with ``compare`` the one from random weights.

    Raises:
        ConfigError: an unknown protocol, no data set with a fold, or nothing to compare.
    """
    check_protocols([protocol], (FINE_TUNE, *PROTOCOLS))
    if compare and checkpoint is None:
        raise ConfigError("a comparison with random weights needs a checkpoint beside them")
    cfg = checked_config(config, options)
    name = Path(cfg.filename).stem if cfg.filename else "few-shot"
    folder = Path(work_dir or Path("work_dirs") / name)
    set_fold(cfg, 0)
    make_synthetic_data(cfg)
    starts = [checkpoint, None] if compare else [checkpoint]
    runs = []
    for start in starts:
        title = "random" if start is None else "pre-trained"
        scores = []
        for fold in range(folds):
            place = folder / title / f"fold_{fold}"
            score = _fold(cfg, start, protocol, fold, place, device)
            scores.append(score)
            if tell is not None:
                tell(title, score)
        runs.append(FewShotRun(title, tuple(scores)))
    with atomic_write(folder / "few_shot.json", "w") as file:
        json.dump({"protocol": protocol, "runs": [asdict(run) for run in runs]}, file, indent=1)
    return runs


def _fold(
    cfg: Config, checkpoint: Any, protocol: str, fold: int, place: Path, device: str | None
) -> FoldScore:
    cfg = copy.deepcopy(cfg)
    set_fold(cfg, fold)
    if protocol != FINE_TUNE:
        network = frozen_network(cfg, checkpoint, fold, usable_device(device))
        found = (features_of(cfg, network, split, fold) for split in ("train", "test"))
        score = score_features(*found, [protocol])[protocol].overall
        return FoldScore(fold, score, score)
    start = None if checkpoint is None else dict(type="Pretrained", checkpoint=str(checkpoint))
    cfg.model.backbone.init_cfg = start
    train(cfg, work_dir=place, seed=fold)
    curve = read_curve(place, METRIC)
    return FoldScore(fold, curve[max(curve)], max(curve.values()))


def set_fold(cfg: Config, fold: int) -> None:
    """Give the data sets of a config another fold, in place.

    Raises:
        ConfigError: a data set has none.
    """
    for split in SPLITS:
        dataset = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
        while dataset is not None and "fold" not in dataset:
            dataset = dataset.get("dataset")
        if dataset is None:
            raise ConfigError(
                f"{cfg.filename or 'the config'} is of no few-shot task: {split}_dataloader has no data set "
                "with a fold"
            )
        dataset["fold"] = fold
