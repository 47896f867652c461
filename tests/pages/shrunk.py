"""``dense3d`` as the blocks of the pages call it: the same command on few images and iterations.

A command that fails is excused only where its sentence says that a file does not exist which a reader brings:
a data set under ``data/``, an official checkpoint, or what is converted from it.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

ITERATIONS = 2
BROUGHT = Path(".brought")  # names of files that a reader has and a test has not, one a line
DONE = Path(".done")  # command lines that went well, one a line
WITH_CONFIG = (
    *("train", "test", "infer", "browse", "derive-depths", "exit-curve"),
    *("few-shot", "probe-clouds", "probe-scenes", "draw-scenes"),
)
TRAIN, VAL = 16, 4  # synthetic samples
SHAPES = 42  # training clouds, two of each of the 21 families


def main(words: list[str]) -> int:
    """Run the command ``words``; 0 where it works or what it lacks is the reader's.

    What several pages train or make with the same words is trained or made once.
    """
    command, line = words[0], " ".join(words)
    is_repeatable = command in ("train", "make-synthetic") and "--resume" not in words
    if is_repeatable and DONE.exists() and line in DONE.read_text().splitlines():
        return 0
    if command == "convert":
        with BROUGHT.open("a") as file:
            file.write("\n".join(words[2:]) + "\n")
    config = next((w for w in words[1:] if not w.startswith("-")), None) if command in WITH_CONFIG else None
    if command == "verify-golden":
        words = words[:2]
    elif command == "benchmark":
        quick = {"volumes": "composite", "pointops": "VoxelHash", "rasterize": "spherical_harmonics"}
        quick = quick.get(words[1], "nms")
        words = [*words, quick, "--repeats", "1"]
    elif command == "compare-backbones":
        options = [f"train_cfg.{name}={ITERATIONS}" for name in ("max_iters", "val_interval")]
        words = with_options(words, [*options, f"synthetic_data.train={TRAIN}", f"synthetic_data.val={VAL}"])
    elif config is not None:
        words = [*words, "--folds", "1"] if command == "few-shot" else words
        words = with_options(words, shrinking(config))
    status, error = call(words)
    if status == 0:
        if is_repeatable:
            with DONE.open("a") as file:
                file.write(f"{line}\n")
        if command == "train":
            name_as_unshrunk(config, words)
        return 0
    if excused(error):
        print(f"excused: {error.strip()}")
        return 0
    print(f"dense3d {' '.join(words)}\nended with status {status}: {error}", file=sys.stderr)
    return 1


def call(words: list[str]) -> tuple[int, str]:
    """Status and what went to stderr."""
    from dense3d.cli.dispatch import main as dense3d

    sys.argv = ["dense3d", *words]
    with contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            status = dense3d() or 0
        except SystemExit as end:
            status = int(end.code or 0)
    return status, error.getvalue()


def with_options(words: list[str], options: list[str]) -> list[str]:
    """``options`` before those that the page gives, which win."""
    if "--cfg-options" in words:
        at = words.index("--cfg-options") + 1
        return [*words[:at], *options, *words[at:]]
    return [*words, "--cfg-options", *options] if options else words


def shrinking(config: str) -> list[str]:
    """Options that leave few images of a config, and few iterations or one epoch."""
    from dense3d.config import load_config

    cfg = load_config(config)
    options = []
    if cfg.get("synthetic_data"):
        is_shapes = tuple(cfg.synthetic_data.get("layouts", ())) == ("shapes",)
        options += [f"synthetic_data.train={SHAPES if is_shapes else TRAIN}", f"synthetic_data.val={VAL}"]
    elif "max_epochs" in cfg.get("train_cfg", {}):  # the reader's few images
        options += ["train_dataloader.batch_size=2"]
    if cfg.get("train_dataloader", {}).get("dataset", {}).get("type") == "FewShotFold":
        for split in ("train", "val", "test"):
            options += [f"{split}_dataloader.dataset.{name}=1" for name in ("shot", "queries")]
    if "max_epochs" in cfg.get("train_cfg", {}):
        options += ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    if "max_iters" in cfg.get("train_cfg", {}):
        options += [f"train_cfg.max_iters={ITERATIONS}", f"train_cfg.val_interval={ITERATIONS}"]
        options += [f"default_hooks.checkpoint.interval={ITERATIONS}"]
    return options


def name_as_unshrunk(config: str, words: list[str]) -> None:
    """Give the checkpoint of a shortened run the names that the whole run's checkpoints have."""
    from dense3d.config import load_config

    cfg = load_config(config)
    folder = Path(
        words[words.index("--work-dir") + 1] if "--work-dir" in words else f"work_dirs/{Path(config).stem}"
    )
    unit, short, whole = "epoch", 1, cfg.train_cfg.get("max_epochs", 0)
    if "max_iters" in cfg.train_cfg:
        unit, short, whole = "iter", ITERATIONS, cfg.train_cfg.max_iters
    interval = cfg.default_hooks.checkpoint.interval
    for number in range(interval, whole + 1, interval):
        name = folder / f"{unit}_{number}.pth"
        if not name.exists():
            name.symlink_to(f"{unit}_{short}.pth")


def excused(error: str) -> bool:
    """Whether a sentence says that a file is missing which the reader brings."""
    brought = BROUGHT.read_text().split() if BROUGHT.exists() else []
    missing = "does not exist" in error or "names no image" in error
    return missing and (
        bool(re.search(r"\bdata/(?!synthetic)", error)) or any(name in error for name in brought if name)
    )
