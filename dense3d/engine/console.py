"""What a person sees while a run goes on: banner, progress with losses and ETA, metric tables, last line.

Everything else (environment, whole configuration, library messages, every scalar) goes to the log file
in the work directory; :func:`quiet` keeps it off the screen.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Real
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dense3d.config.shipped import config_name
from dense3d.datasets.scan.report import ScanReport
from dense3d.engine.resumable import read_pointer
from dense3d.registry import HOOKS

# Losses of decoder layers, of the encoder and of denoising queries are logged to the file only.
_AUXILIARY = re.compile(r"(^|\.)(d\d+|enc|dn|aux)[._]|_(enc|dn|aux|\d+)$|dn_|enc_")

EXAMPLES = 3  # of notes of one kind
# Of KITTI's many figures, by overlap, difficulty and kind of box, these are what detectors are ranked by.
_KITTI_MINOR = re.compile(r"^kitti/(?!.*/(3d|bev)_ap40_moderate_strict$)")
MANY_METRICS = 10  # of an evaluation; the line about it names no more
ROOM = 68  # characters that columns of metrics may take beside each other


def quiet(logger: logging.Logger) -> None:
    """Keep a run's log file whole; only warnings that are not about the libraries' own code are shown."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)
            handler.addFilter(lambda record: "deprecated" not in record.getMessage())
    files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    logging.captureWarnings(True)
    python_warnings = logging.getLogger("py.warnings")
    python_warnings.propagate = False
    python_warnings.handlers = files or [logging.NullHandler()]
    warnings.simplefilter("default")
    _silence_pycocotools()


def _silence_pycocotools() -> None:
    """pycocotools prints its progress; its two modules get a ``print`` that says nothing."""
    from pycocotools import coco, cocoeval

    for module in (coco, cocoeval):
        vars(module).setdefault("print", lambda *args, **kwargs: None)


def console() -> Console:
    """The console of this run; off in all processes but the first."""
    return Console(highlight=False, quiet=not is_main_process(), file=sys.stdout)


def show_notes(reports: Iterable[ScanReport]) -> list[str]:
    """Print what the scan of the data found unusual, counted and with a few examples; returns the lines."""
    lines = []
    for name, report in {report.name: report for report in reports if report.notes}.items():
        lines += [f"notes on {name}:", *(f"  {line}" for line in report.note_lines(EXAMPLES))]
    # Of several processes, which know nothing of each other yet, the first speaks.
    if not int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0):
        for line in lines:
            console().print(line, markup=False, soft_wrap=True)
    return lines


def count_parameters(model: torch.nn.Module) -> str:
    """``"12.3 M parameters (11.9 M trainable)"``.

    Example:
        >>> count_parameters(torch.nn.Linear(1000, 1000))
        '1.0 M parameters'
    """
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    text = f"{total / 1e6:.1f} M parameters"
    return text if trainable == total else f"{text} ({trainable / 1e6:.1f} M trainable)"


def metric_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    """A table with a row per entry (an epoch, say) and a column per metric; missing values are blank.

    More metrics than a screen has room for stand below each other, with a column per entry.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    if sum(3 + max(5, len(_short(name))) for name in names) > ROOM:
        metrics = {_short(n): {label: row[n] for label, row in rows.items() if n in row} for n in names}
        return _table(title, list(rows), metrics)
    return _table(title, names, rows)


def _table(title: str, names: list[str], rows: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(_short(name), justify="right")
    for label, row in rows.items():
        table.add_row(label, *(_number(row[name]) if name in row else "" for name in names))
    return table


def main_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The figures that count; the rest is in the log.

    Example:
        >>> main_metrics({"kitti/Car/3d_ap40_moderate_strict": 9.0, "kitti/Car/aos_ap40_easy_loose": 30.0})
        {'kitti/Car/3d_ap40_moderate_strict': 9.0}
    """
    main = {name: value for name, value in metrics.items() if not _KITTI_MINOR.search(name)}
    return main or dict(metrics)


def _short(name: str) -> str:
    name = re.sub("^(coco|panoptic|semantic)/", "", name)
    return name.replace("bbox_m", "box ").replace("segm_m", "mask ")


def _number(value: float) -> str:
    """Three decimals; NaN, as of classes or sizes without an object, is not available."""
    if not isinstance(value, float):
        return str(value)
    return "n/a" if math.isnan(value) else f"{value:.3f}"


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Banner, progress and metric tables on the screen.

    On a terminal the progress is a bar; elsewhere (a log, a pipe) a line at most every ``seconds``.
    """

    priority = "VERY_LOW"

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self._metrics: dict[str, dict[str, float]] = {}
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._window: list[Mapping] = []
        self._start = self._shown = 0.0
        self._first_iteration = 0
        self._evaluation_start = self._evaluation_shown = 0.0

    def before_train(self, runner) -> None:
        """Say what is trained, on what, and where the results go."""
        self._console = console()
        self._console.print(_banner(runner))
        self._start = self._shown = time.monotonic()
        self._first_iteration = runner.iter
        if self._console.is_terminal and is_main_process():
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._progress.add_task("training", total=runner.max_iters, completed=runner.iter)
            self._progress.start()

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Show the losses, averaged since they were last shown."""
        if not is_main_process():
            return
        self._window.append({k: float(v) for k, v in (outputs or {}).items() if "loss" in k})
        now, done = time.monotonic(), runner.iter + 1
        if self._progress is not None:
            if now - self._shown > 0.5 or done == runner.max_iters:
                text = f"epoch {runner.epoch + 1}/{runner.max_epochs} {self._losses()}"
                self._progress.update(self._task, completed=done, description=text)
                self._shown = now
        elif now - self._shown >= self.seconds or done == runner.max_iters:
            speed = (now - self._start) / (done - self._first_iteration)
            remaining = speed * (runner.max_iters - done)
            self._console.print(
                f"epoch {runner.epoch + 1}/{runner.max_epochs}  iteration {done}/{runner.max_iters}  "
                f"{self._losses()}  {speed:.2f} s/it  ETA {_duration(remaining)}",
                soft_wrap=True,
            )
            self._shown = now

    def _losses(self) -> str:
        """Mean of each main loss over the window, which is emptied; steps that were left out do not count."""
        window, self._window = self._window, []
        names = [n for n in window[-1] if n == "loss" or not _AUXILIARY.search(n)][:5]
        values = {n: [row[n] for row in window if math.isfinite(row.get(n, math.nan))] for n in names}
        means = {name: sum(found) / len(found) if found else math.nan for name, found in values.items()}
        return "  ".join(f"{name} {value:.3f}" for name, value in means.items())

    def before_val_epoch(self, runner) -> None:
        """Start the clock of the evaluation."""
        self._evaluation_start = self._evaluation_shown = time.monotonic()

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A line every few seconds, with ETA."""
        if self._progress is None and hasattr(self, "_console"):
            self._evaluated(batch_idx, len(runner.val_dataloader), "validation ")

    def _evaluated(self, batch: int, total: int, title: str = "") -> None:
        now = time.monotonic()
        if now - self._evaluation_shown >= self.seconds:
            remaining = (now - self._evaluation_start) / (batch + 1) * (total - batch - 1)
            self._console.print(f"{title}batch {batch + 1}/{total}  ETA {_duration(remaining)}")
            self._evaluation_shown = now

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Show this evaluation's metrics in one line and keep them for the closing table."""
        if not metrics or not hasattr(self, "_console"):
            return
        scalars = {k: float(v) for k, v in metrics.items() if isinstance(v, Real)}
        main = main_metrics(scalars)
        self._metrics[f"epoch {runner.epoch}" if runner.epoch else f"iteration {runner.iter}"] = main
        text = "  ".join(f"{_short(k)} {_number(v)}" for k, v in islice(main.items(), MANY_METRICS))
        shown = min(len(main), MANY_METRICS)
        text += f"  ... of {len(scalars)}, see the log" if shown < len(scalars) else ""
        self._console.print(f"evaluated after iteration {runner.iter}: {text}", soft_wrap=True)

    def after_train(self, runner) -> None:
        """Close the bar; the metric table and where everything is."""
        if self._progress is not None:
            self._progress.stop()
        elapsed = time.monotonic() - self._start
        if self._metrics:
            self._console.print(metric_table("metrics", self._metrics))
        folder = _relative(runner.work_dir)
        config = config_name(runner.cfg.filename) if runner.cfg.filename else "CONFIG"
        text = f"trained in {_duration(elapsed)}; {_contents(runner.work_dir)} in {folder}"
        checkpoint = read_pointer(runner.work_dir)
        if checkpoint is not None:
            text += f"\nnext: dense3d test {config} {_relative(checkpoint)}"
        self._console.print(text, soft_wrap=True)

    def before_test(self, runner) -> None:
        """Say what is evaluated."""
        self._console = console()
        self._console.print(
            f"[bold]test[/bold] {type(_unwrap(runner.model)).__name__}, "
            f"{len(runner.test_dataloader.dataset)} images, {_device(runner)}"
        )
        self._evaluation_start = self._evaluation_shown = time.monotonic()

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A line every few seconds, with ETA."""
        self._evaluated(batch_idx, len(runner.test_dataloader))

    def after_test_epoch(self, runner, metrics=None) -> None:
        """The metric table."""
        scalars = {k: v for k, v in (metrics or {}).items() if isinstance(v, Real)}
        main = {k: v for k, v in scalars.items() if "_precision" not in k}
        few = main_metrics(main)
        if few:  # a metric that only writes results measures nothing
            self._console.print(metric_table("metrics", {"test": few}))
        if len(few) < len(main):
            self._console.print(f"all {len(main)} figures are in the log and in metrics.json of --out")
        classes = {k: v for k, v in scalars.items() if k not in main}
        if classes:
            rows = {k.split("/")[-1].removesuffix("_precision"): {"AP": v} for k, v in classes.items()}
            self._console.print(metric_table("per class", rows))


def _banner(runner) -> str:
    model = _unwrap(runner.model)
    dataset = runner.train_dataloader.dataset
    sizes = [f"{len(dataset)} training"]
    if runner.val_loop is not None:
        sizes.append(f"{len(runner.val_loop.dataloader.dataset)} validation")
    batch = getattr(runner.train_dataloader, "batch_size", None)
    if batch is None:
        batch = runner.train_dataloader.batch_sampler.batch_size
    lines = [
        f"[bold]dense3d[/bold] {Path(runner.cfg.filename or '').stem}",
        f"  model     {type(model).__name__}, {count_parameters(model)}",
        f"  data      {', '.join(sizes)} images, batch {batch} x {runner.world_size}",
        f"  schedule  {runner.max_epochs} epochs, {runner.max_iters} iterations",
        f"  device    {_device(runner)}, {type(runner.optim_wrapper).__name__}, seed {runner.seed}",
        f"  work dir  {_relative(runner.work_dir)}",
    ]
    if runner.iter:
        lines.append(f"  resumed   after iteration {runner.iter} (epoch {runner.epoch + 1})")
    return "\n".join(lines)


def _device(runner) -> str:
    parameter = next(_unwrap(runner.model).parameters(), None)  # semi-global matching has none
    device = torch.device("cpu") if parameter is None else parameter.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _unwrap(model: torch.nn.Module) -> torch.nn.Module:
    from mmengine.model import is_model_wrapper

    return model.module if is_model_wrapper(model) else model


def _contents(work_dir: str) -> str:
    """What a run left in its folder.

    Example:
        >>> _contents("no-such-folder")
        'logs are'
    """
    folder = Path(work_dir)
    picture = ["curves.png"] if (folder / "curves.png").is_file() else []
    things = [*(["checkpoints"] if any(folder.glob("*.pth")) else []), "logs", *picture]
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]])) + " are"


def _relative(path: str | Path) -> str:
    """The path as one would type it from here."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> _duration(3725), _duration(65)
        ('1:02:05', '1:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
