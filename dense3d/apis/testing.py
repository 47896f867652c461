"""Evaluation of a checkpoint, in one call."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.building import require_no_weights
from dense3d.apis.calibrations import needs_calibration
from dense3d.apis.repetition import repeated, spread_table
from dense3d.apis.setup import prepare_config, require
from dense3d.config.building import explained_building
from dense3d.engine import Runner
from dense3d.engine.checkpoint import look_for
from dense3d.errors import ConfigError
from dense3d.files import require_writable_folder
from dense3d.json_files import write_json


def test(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    out: str | Path | None = None,
    show_dir: str | Path | None = None,
    tta: bool = False,
    work_dir: str | Path | None = None,
    options: dict[str, Any] | None = None,
    launcher: str = "none",
    repeat: int | None = None,
) -> dict[str, float]:
    """Evaluate ``checkpoint`` on the config's test data.

    Args:
        config: config file, name of a shipped one, or loaded config.
        checkpoint: checkpoint that this project (or mmdet, mmseg) wrote; None for a model without weights,
            such as ``SemiGlobalMatching``.
        out: folder for ``metrics.json`` and, where the metric has one, its predictions in the
            submission format (``predictions.bbox.json`` for COCO, label maps or KITTI's result files in
            ``predictions/``); of classifiers ``predictions.classes.csv``, a row a class with what it was
            taken for, and ``predictions.confusion.png``; of depth, disparity and flow a row of figures an
            image (``predictions.disparity.csv``, those of a second such metric in
            ``predictions.disparity-2.csv``); of 3D boxes ``predictions.boxes3d.npz`` and ``.truth.npz``, and
            a row a class in ``.csv``. Of several data sets the prefix stands in the name, as in
            ``predictions.FIRST.disparity.csv``.
        show_dir: folder for pictures with predictions beside ground truth; it may not hold tested images.
        tta: test-time augmentation: horizontal flip and, where the config has a ``tta_pipeline``, its.
        work_dir: folder for the log.
        options: settings that override the config's, by dotted key.
        launcher: ``"none"``, ``"pytorch"`` or ``"slurm"``.
        repeat: test so many times, each with the next seed, where the pipeline draws at random (points of a
            cloud); figures are means then, and ``<name>/deviation`` their standard deviations. ``out``
            keeps what the last one wrote.

    Returns:
        The metrics by name.

    Raises:
        ConfigError, DataError, CheckpointError: one sentence on what is wrong.
    """
    for folder in filter(None, (out, show_dir)):
        require_writable_folder(folder)
    if checkpoint is not None:
        look_for(checkpoint)
    cfg = prepare_config(config, options, work_dir, launcher, ("test",))
    if cfg.get("test_dataloader") is None:
        raise ConfigError(f"{cfg.filename} has no test_dataloader: there is nothing to evaluate")
    require(cfg, "model", "test_cfg", "test_evaluator")
    if checkpoint is None:
        require_no_weights(cfg)
    cfg.load_from = None if checkpoint is None else str(checkpoint)
    cfg.resume = False
    cfg.strict_load = True  # False is for weights that training starts from
    if show_dir is not None:
        _draw_into(cfg, Path(show_dir))
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        _keep_predictions(cfg, Path(out) / "predictions")
    if tta:
        augment(cfg)
    found = _tested(cfg) if repeat is None else _repeated(cfg, repeat)
    metrics = {k: float(v) if isinstance(v, Real) else v for k, v in found.items()}
    if out is not None:
        write_json(Path(out) / "metrics.json", metrics)
    return metrics


def _tested(cfg: Config) -> dict[str, float]:
    with explained_building(cfg):
        return Runner.from_cfg(cfg).test()


def _repeated(cfg: Config, count: int) -> dict[str, float]:
    spreads = repeated(cfg, count, _tested)
    print(spread_table(spreads, count))
    figures = {name: spread.mean for name, spread in spreads.items()}
    return figures | {f"{name}/deviation": spread.deviation for name, spread in spreads.items()}


def _draw_into(cfg: Config, folder: Path) -> None:
    hook = dict(type="dense3d.PictureHook", folder=str(folder.resolve()))
    cfg.default_hooks = {**(cfg.get("default_hooks") or {}), "visualization": hook}


def _keep_predictions(cfg: Config, prefix: Path) -> None:
    """Have metrics write their predictions, those of depth the errors of each image, where they can.

    Those of several data sets write files of their own, with the data set's prefix in their names.
    """
    outer = _evaluators(cfg)
    _keep_of([one for one in outer if "metrics" not in one], prefix)
    for evaluator in outer:
        if "metrics" not in evaluator:
            continue
        metrics = evaluator["metrics"]
        metrics = metrics if isinstance(metrics, list) else [metrics]
        labels = evaluator.get("dataset_prefixes") or [None] * len(metrics)
        for metric, label in zip(metrics, labels):
            own = "" if label is None else "." + re.sub(r"[^\w.-]", "-", str(label))
            _keep_of([metric], prefix.with_name(prefix.name + own))


def _keep_of(evaluators: Sequence[dict], prefix: Path) -> None:
    written: dict[str, int] = {}
    for evaluator in evaluators:
        name = _metric_name(evaluator)
        if name.startswith("Coco"):
            evaluator["outfile_prefix"] = str(prefix)
        elif name == "IoUMetric":
            evaluator.update(type="dense3d.IoUMetric", output_dir=str(prefix))
        elif name == "KittiMetric":
            evaluator["result_folder"] = str(prefix)
        elif name == "PanopticQualityMetric":
            evaluator["result_file"] = f"{prefix}.json"
        elif name == "ClassAccuracy":
            evaluator["result_prefix"] = str(prefix)
        elif name == "Boxes3DMetric":
            evaluator.update(boxes_file=f"{prefix}.boxes3d.npz", result_file=f"{prefix}.boxes3d.csv")
        elif name in ("DepthMetric", "DisparityMetric", "FlowMetric"):
            kind = name.removesuffix("Metric").lower()
            written[kind] = number = written.get(kind, 0) + 1
            evaluator["result_file"] = f"{prefix}.{kind}{f'-{number}' if number > 1 else ''}.csv"


def _evaluators(cfg: Config) -> list[dict]:
    evaluators = cfg.get("test_evaluator") or []
    return evaluators if isinstance(evaluators, list) else [evaluators]


def _metric_name(evaluator: dict) -> str:
    """The metric's type without the registry it comes from."""
    return str(evaluator.get("type", "")).rpartition(".")[2]


def augment(cfg: Config) -> None:
    """Wrap model and pipeline of ``cfg`` for test-time augmentation: see :func:`test`."""
    from dense3d.config import mark_scopes

    if cfg.model.type == "MaskedAutoencoder":
        raise ConfigError(
            "--tta merges boxes or classes of several views, and a MaskedAutoencoder has neither"
        )
    if _detects_3d(cfg):
        raise ConfigError("--tta merges 2D boxes and classes of several views, not 3D boxes: leave it out")
    if cfg.model.type.endswith("Classifier"):
        raise ConfigError("--tta merges boxes or classes of pixels of several views: leave it out here")
    segmentation = _segments(cfg)
    scope = "mmseg" if segmentation else "mmdet"
    if "tta_model" not in cfg:
        # mmdet registers its wrapper with mmengine's root: the scope makes it known, a prefix would miss it.
        merge = (
            {}
            if segmentation
            else {"tta_cfg": dict(nms=dict(type="nms", iou_threshold=0.7), max_per_img=100)}
        )
        cfg.tta_model = dict(type="SegTTAModel" if segmentation else "DetTTAModel", _scope_=scope, **merge)
    if "tta_pipeline" not in cfg:
        cfg.tta_pipeline = _flipped(cfg.test_dataloader.dataset.pipeline, scope)
    model = cfg.model
    wrapper = dict(copy.deepcopy(cfg.tta_model), module=model)
    if "data_preprocessor" not in wrapper and "data_preprocessor" in cfg:
        wrapper["data_preprocessor"] = cfg.data_preprocessor
    cfg.model = wrapper
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    mark_scopes(cfg.model, cfg.default_scope)
    mark_scopes(cfg.test_dataloader, cfg.default_scope)


def _segments(cfg: Config) -> bool:
    return "mmseg" in str(cfg.model.get("type")) or cfg.model.get("_scope_") == "mmseg"


def _detects_3d(cfg: Config) -> bool:
    return needs_calibration(cfg.test_dataloader.dataset.get("pipeline", ()))


def _flipped(pipeline: list[dict], scope: str) -> list[dict]:
    """The test pipeline run twice per image, once mirrored, packed with the keys that undo the flip."""
    *steps, pack = copy.deepcopy(pipeline)
    common = ("img_path", "ori_shape", "img_shape", "scale_factor")
    keys = pack.get("meta_keys") or (*common, "reduce_zero_label" if scope == "mmseg" else "img_id")
    pack["meta_keys"] = tuple(dict.fromkeys((*keys, "flip", "flip_direction")))
    flips = [dict(type=f"{scope}.RandomFlip", prob=p) for p in (0.0, 1.0)]
    load, *others = steps
    return [
        load,
        dict(type="TestTimeAug", transforms=[*[[step] for step in others], flips, [pack]]),
    ]
