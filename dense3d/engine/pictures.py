"""Pictures of a run: its loss and metric curves, and predictions beside the ground truth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write
from dense3d.registry import HOOKS
from dense3d.results.names import FileNames

THRESHOLD = 0.3  # boxes with lower scores are not drawn
FEW_PARTS = 6  # of a metric are drawn; COCO's average precision has five


@HOOKS.register_module()
class CurveHook(Hook):
    """Draws ``curves.png`` into the work directory from the JSON logs of this run and those it resumed."""

    priority = "LOW"  # after the logger, before the console's last line, which names the picture

    _drawn: dict[Path, int] | None = None  # bytes of the logs that the picture shows

    @master_only
    def after_val_epoch(self, runner, metrics=None) -> None:
        """Redraw; this evaluation's scalars have been written by then."""
        self._drawn = {log: log.stat().st_size for log in _logs(runner.work_dir)}
        draw_curves(runner.work_dir)

    @master_only
    def after_train(self, runner) -> None:
        """Draw the final state, also of a run that never evaluates, unless the last evaluation did."""
        if self._drawn != {log: log.stat().st_size for log in _logs(runner.work_dir)}:
            draw_curves(runner.work_dir)


def _logs(work_dir: str | Path) -> list[Path]:
    return sorted(Path(work_dir).glob("*/vis_data/scalars.json"))


def read_scalars(work_dir: str | Path) -> tuple[dict[str, dict[int, float]], dict[str, dict[int, float]]]:
    """Training scalars and evaluation metrics by iteration, over all logs in ``work_dir``.

    A step that was logged twice (before a kill and again after resuming) keeps its later value.
    """
    training: dict[str, dict[int, float]] = {}
    metrics: dict[str, dict[int, float]] = {}
    for log in _logs(work_dir):
        for line in log.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # the last line of a run that was killed
                continue
            target = training if "loss" in row else metrics
            for name, value in row.items():
                if isinstance(value, (int, float)) and name not in ("step", "iter", "epoch"):
                    # An evaluation's step is its epoch, 0 in runs without; logs of 0.1 have it alone.
                    step = int(row.get("iter", row.get("step", 0)))
                    target.setdefault(name, {})[step] = float(value)
    return training, metrics


def without_single_classes(names: Iterable[str]) -> list[str]:
    """Names of metrics without those of single classes: many that go on where another one ends.

    Example:
        >>> without_single_classes(["AP25", "AP50", *(f"AP25_class{i}" for i in range(9))])
        ['AP25', 'AP50']
        >>> without_single_classes(["mAP", "mAP_50", "mAP_75", "mAP_s"])
        ['mAP', 'mAP_50', 'mAP_75', 'mAP_s']
    """
    names = list(names)
    parts = {n: {m for m in names if m.startswith(f"{n}_")} for n in names}
    return [n for n in names if not any(n in many for many in parts.values() if len(many) > FEW_PARTS)]


def draw_curves(work_dir: str | Path) -> Path | None:
    """Write ``work_dir/curves.png`` and return it; ``None`` when nothing has been logged yet."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    training, metrics = read_scalars(work_dir)
    if not training:
        return None
    losses = {k: v for k, v in training.items() if "loss" in k and not any(c.isdigit() for c in k)}
    panels = [("iteration", losses, "log"), ("iteration", {"lr": training.get("lr", {})}, "linear")]
    shown = {k: v for k, v in metrics.items() if "time" not in k and "_precision" not in k}
    shown = {k: shown[k] for k in without_single_classes(shown)}
    if shown:
        panels.insert(1, ("iteration", shown, "linear"))
    figure, axes = pyplot.subplots(1, len(panels), figsize=(6 * len(panels), 4), squeeze=False)
    for axis, (label, curves, scale) in zip(axes[0], panels):
        for name, points in curves.items():
            steps = sorted(points)
            axis.plot(steps, [points[s] for s in steps], label=name, marker="." if len(steps) < 50 else None)
        axis.set_xlabel(label)
        axis.set_yscale(scale)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="x-small")
    figure.tight_layout()
    target = Path(work_dir) / "curves.png"
    with atomic_write(target) as file:
        figure.savefig(file, format="png", dpi=100)
    pyplot.close(figure)
    return target


@HOOKS.register_module()
class PictureHook(Hook):
    """Writes a picture for each tested image, with the ground truth beside it where the task has one.

    Args:
        folder: where to; pictures keep the names of their images, numbered where two have one name.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.names = FileNames()

    @master_only
    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the samples of a batch; one that cannot be drawn is warned of."""
        from dense3d.results import ModelInfo, Result

        model = getattr(runner.model, "module", runner.model)
        info = ModelInfo(runner.test_dataloader.dataset.metainfo, model.data_preprocessor, THRESHOLD)
        for sample in outputs:
            result = Result.of(sample, info)
            if os.path.realpath(result.path.parent) == os.path.realpath(self.folder):
                raise ConfigError(
                    f"{self.folder} holds the tested images, which pictures could replace: "
                    "name another --show-dir"
                )
            target = self.folder / f"{self.names.of(result.path)}.jpg"
            try:
                result.save(target)
            except DataError as error:
                runner.logger.warning(f"{result.name} is not drawn: {error}")
