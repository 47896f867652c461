"""Backbones beside each other: one budget for all, several tasks, costs, one ranking.

Goldblum et al., "Battle of the Backbones", NeurIPS 2023, made small.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from dense3d.apis.building import checked_config, usable_device
from dense3d.apis.frozen_features import FROZEN_TASKS, frozen_score
from dense3d.apis.setup import make_synthetic_data
from dense3d.apis.training import train
from dense3d.benchmarks.backbone_costs import BackboneCosts, backbone_costs
from dense3d.benchmarks.backbone_report import write_report
from dense3d.errors import ConfigError, Dense3dError, did_you_mean
from dense3d.evaluation.ranking import Ranked, ranked
from dense3d.files import atomic_write, require_writable_folder
from dense3d.registry import MODELS

# task -> config of its budget, and the measure that counts: the first that the run has
TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "classification": ("compare-classification_synthetic", ("image/top1",)),
    "detection": ("compare-detection_synthetic", ("coco/bbox_mAP_50", "coco/bbox_mAP")),
    "segmentation": ("compare-segmentation_synthetic", ("semantic/mIoU", "mIoU")),
    "linear-probe": ("compare-classification_synthetic", ("probe/top1",)),
    "retrieval": ("compare-classification_synthetic", ("retrieval/mAP",)),
}
USUAL_TASKS = ("classification", "detection", "segmentation")
PYRAMID = (4, 8, 16, 32)  # strides that heads of detection and segmentation take


@dataclass(frozen=True)
class Outcome:
    """A backbone in a task.

    Attributes:
        backbone, task: which.
        measure: name of what counts; None of a run that failed.
        value: its value.
        metrics: all that the run measured.
        error: why there is none.
    """

    backbone: str
    task: str
    measure: str | None = None
    value: float = float("nan")
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass
class Comparison:
    """All runs of a comparison.

    Attributes:
        folder: where the report lies.
        outcomes: of every backbone in every task.
        costs: of each backbone; None of one that cannot be built.
        ranking: by standard scores over the tasks.
    """

    folder: Path
    outcomes: list[Outcome] = field(default_factory=list)
    costs: dict[str, BackboneCosts | None] = field(default_factory=dict)
    ranking: list[Ranked] = field(default_factory=list)


def compare_backbones(
    out: str | Path,
    backbones: Mapping[str, dict],
    tasks: Sequence[str] = USUAL_TASKS,
    configs: Mapping[str, str | Path] | None = None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    side: int = 224,
    device: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Train every backbone on every task with the same budget, measure its costs, and rank them.

    What is done already is not done again: a run's folder has the name of its settings. A run that was killed
    goes on where it was.

    Args:
        out: folder for runs and report: ``comparison.md``, ``.csv``, ``.json`` and ``pareto.png``.
        backbones: name -> config, such as those of :func:`dense3d.backbones.variants.tiny_backbones`.
        tasks: of :data:`TASKS`.
        configs: task -> own config in place of the synthetic one; its ``model.backbone`` is replaced.
        options: settings that override those of all configs, by dotted key.
        seed: of all runs.
        side: height and width of the images that costs are measured on.
        device: for costs and frozen features; the GPU if there is one.
        tell: told of each run that is done.

    Raises:
        ConfigError: an unknown task, no backbone, or a config without ``model.backbone``. A run that fails
            does not stop the others; its outcome says why.
    """
    _check_tasks(backbones, tasks, configs or {})
    folder = Path(out)
    require_writable_folder(folder)
    comparison, tell = Comparison(folder), tell or (lambda sentence: None)
    for task in tasks:
        base = checked_config((configs or {}).get(task, TASKS[task][0]), options)
        if "backbone" not in (base.get("model") or {}):
            raise ConfigError(f"{base.filename} has no model.backbone that could be replaced")
        make_synthetic_data(base)
        for name, backbone in backbones.items():
            outcome = _outcome(folder, base, task, name, backbone, seed, device)
            comparison.outcomes.append(outcome)
            tell(_sentence(outcome))
    for name, backbone in backbones.items():
        comparison.costs[name] = _costs(folder, name, backbone, side, device)
    measures: dict[str, dict[str, dict[str, float]]] = {}
    for outcome in comparison.outcomes:
        if outcome.measure is not None:
            measures.setdefault(outcome.task, {}).setdefault(outcome.measure, {})[outcome.backbone] = (
                outcome.value
            )
    comparison.ranking = ranked(measures) if measures else []
    write_report(comparison, tasks)
    return comparison


def _check_tasks(backbones: Mapping[str, dict], tasks: Sequence[str], configs: Mapping[str, Any]) -> None:
    if not backbones or not tasks:
        raise ConfigError("there is nothing to compare: give backbones and tasks")
    for task in (*tasks, *configs):
        if task not in TASKS:
            raise ConfigError(
                f"there is no task {task!r}{did_you_mean(task, TASKS)} (known: {', '.join(TASKS)})"
            )


def _outcome(
    folder: Path, base: Config, task: str, name: str, backbone: dict, seed: int, device: str | None
) -> Outcome:
    """The outcome of a run: from its folder if it ended there, else from running it."""
    cfg = copy.deepcopy(base)
    try:
        cfg.model.backbone = ConfigDict(_fitted(backbone, task, cfg.default_scope))
        digest = hashlib.sha256(f"{cfg.pretty_text}{seed}".encode()).hexdigest()[:10]
        place = folder / "runs" / task / f"{_slug(name)}-{digest}"
        result = place / "result.json"
        if not result.exists():
            metrics = _metrics(cfg, task, place, seed, device)
            with atomic_write(result, "w") as file:
                json.dump(metrics, file, indent=1)
        metrics = json.loads(result.read_text())
    except Dense3dError as error:
        return Outcome(name, task, error=str(error).splitlines()[0])
    except Exception as error:  # whatever a backbone brings about, the others are not to pay for it
        line = (str(error).strip() or "no message").splitlines()[0]
        return Outcome(name, task, error=f"{type(error).__name__}: {line}")
    measure = next((known for known in TASKS[task][1] if known in metrics), None)
    if measure is None:
        measure = next(iter(metrics), None)  # of an own config with another metric
    return Outcome(name, task, measure, metrics.get(measure, float("nan")), metrics)


def _metrics(cfg: Config, task: str, place: Path, seed: int, device: str | None) -> dict[str, float]:
    if task in FROZEN_TASKS:
        return frozen_score(cfg, task, device, seed)
    found = train(cfg, work_dir=place, resume="auto", seed=seed).metrics
    return {name: float(value) for name, value in found.items()}


def _fitted(backbone: dict, task: str, scope: str) -> dict:
    """A backbone's config for a task: plain transformers get a pyramid where heads want one.

    Raises:
        ConfigError: the backbone gives no pyramid and is no plain transformer.
    """
    if task not in ("detection", "segmentation"):
        return copy.deepcopy(backbone)
    from dense3d.backbones.plain import PlainBackbone

    with DefaultScope.overwrite_default_scope(scope), torch.device("meta"):
        network = MODELS.build(copy.deepcopy(backbone))
    if tuple(getattr(network, "out_strides", ())) == PYRAMID:
        return copy.deepcopy(backbone)
    if isinstance(network, PlainBackbone):
        vit = copy.deepcopy(backbone)
        if "out_indices" in vit:
            vit["out_indices"] = (-1,)  # the pyramid is made of the last map
        return dict(type="dense3d.SimplePyramid", vit=vit, out_channels=network.embed_dims)
    raise ConfigError(f"its maps have the strides {network.out_strides}, where {task} needs {PYRAMID}")


def _costs(folder: Path, name: str, backbone: dict, side: int, device: str | None) -> BackboneCosts | None:
    """Costs on this machine, measured once."""
    place = usable_device(device)
    text = json.dumps([backbone, side, place.type], default=str, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    file = folder / "costs" / f"{_slug(name)}-{digest}.json"
    if not file.exists():
        try:
            found = backbone_costs(copy.deepcopy(backbone), side, device=place)
        except Exception:  # what is wrong with it, its runs have told
            return None
        with atomic_write(file, "w") as target:
            json.dump(asdict(found), target, indent=1)
    return BackboneCosts(**json.loads(file.read_text()))


def _slug(name: str) -> str:
    """A folder's name.

    Example:
        >>> _slug("Swin (V2)")
        'swin-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _sentence(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.task}, {outcome.backbone}: failed, {outcome.error}"
    return f"{outcome.task}, {outcome.backbone}: {outcome.measure} {outcome.value:.4g}"
