#!/usr/bin/env python3
"""Does pre-training on scenes help a detector? Paired seeds on synthetic rooms, resumable.

Trains, for each seed: stage one, stage two, and the detector on 10 % of the labels from scratch, from stage
one and from stage two. What is there already is not trained again, and a run that was stopped goes on. At the
end prints the mean differences of AP25 and AP50 from scratch and their standard errors. With ``--shared``
both stages are trained once, with the first seed: the standard error is then that of the detectors' seeds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

STAGE1 = "gaussian2scene-stage1_pointnet2-tiny_synthetic-rooms"
STAGE2 = "gaussian2scene-stage2_pointnet2-tiny_synthetic-rooms"
SCRATCH = "threedetr-10pct_pointnet2-tiny_synthetic-rooms"
DETECT = "threedetr-10pct-gaussian2scene_pointnet2-tiny_synthetic-rooms"
METRICS = ("boxes3d/AP25", "boxes3d/AP50")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/pairs"), help="(default: work_dirs/pairs)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="pairs (default: 5)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one (default: 0)")
    parser.add_argument("--shared", action="store_true", help="one pre-training for all pairs")
    parser.add_argument("--stop-after", choices=("stage1", "stage2"), help="train no further than this")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for seed in seeds:
        pretrained = seeds[0] if arguments.shared else seed
        train_seed(arguments.out, seed, pretrained, arguments.stop_after)
    if arguments.stop_after or len(seeds) < 2:
        return 0
    groups = [
        f"{name}={','.join(str(arguments.out / f'{name}-{seed}') for seed in seeds)}"
        for name in ("scratch", "from-stage1", "from-stage2")
    ]
    for metric in METRICS:
        dense3d("compare-runs", *groups, "--metric", metric)
    return 0


def train_seed(out: Path, seed: int, pretrained: int, stop_after: str | None) -> None:
    """Everything of one seed of detectors, from the pre-training with seed ``pretrained``."""
    first = train(STAGE1, out / f"stage1-{pretrained}", pretrained)
    if stop_after == "stage1":
        return
    second = train(STAGE2, out / f"stage2-{pretrained}", pretrained, f"model.init_cfg.checkpoint={first}")
    if stop_after == "stage2":
        return
    train(SCRATCH, out / f"scratch-{seed}", seed)
    for name, checkpoint in (("from-stage1", first), ("from-stage2", second)):
        parts = (f"model.{part}.init_cfg.checkpoint={checkpoint}" for part in ("backbone", "encoder"))
        train(DETECT, out / f"{name}-{seed}", seed, *parts)


def train(config: str, folder: Path, seed: int, *options: str) -> Path:
    """The last checkpoint of a run, which is trained, gone on with, or found to be done."""
    from dense3d.config import load_config

    last = folder / f"iter_{load_config(config).max_iters}.pth"
    if not last.exists():
        words = ["--cfg-options", *options] if options else []
        resume = ["--resume"] if any(folder.glob("iter_*.pth")) else []
        dense3d("train", config, "--work-dir", str(folder), "--seed", str(seed), *resume, *words)
    return last


def dense3d(*words: str) -> None:
    """Run a command, and stop where it fails."""
    print("dense3d", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", "dense3d", *words], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    raise SystemExit(main())
