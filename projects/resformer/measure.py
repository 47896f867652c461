"""Accuracy over the size of test images: training at several resolutions against training at one, in pairs.

    python projects/resformer/measure.py work_dirs/resformer

Each pair of runs shares a seed and the number of steps. What is done is not done again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from dense3d.apis import build_model, train
from dense3d.apis.comparison import Curve, draw_comparison, paired_difference
from dense3d.config import load_config
from dense3d.files import atomic_write
from dense3d.registry import DATASETS

CONFIG = Path(__file__).parent / "convit-tiny-mr_synthetic.py"
ARMS = {"one resolution": dict(resolutions=(32,)), "several": {}}


def measured(folder: Path, seed: int, settings: dict, steps: int, sizes: tuple[int, ...]) -> Curve:
    """Top-1 in per cent by size of a run, which is trained unless its figures are there."""
    file = folder / "accuracies.json"
    if not file.exists():
        options = {f"model.{name}": value for name, value in settings.items()}
        options |= {"max_iters": steps, "train_cfg.max_iters": steps, "train_cfg.val_interval": steps}
        options |= {"default_hooks.checkpoint.interval": steps}
        options |= {"param_scheduler.1.end": steps, "param_scheduler.1.T_max": steps - 50}
        run = train(load_config(CONFIG, options), folder, resume="auto", seed=seed)
        found = accuracies(build_model(run.config, run.checkpoint), run.config, sizes)
        with atomic_write(file, "w") as target:
            json.dump(found, target)
    return {int(side): value for side, value in json.loads(file.read_text()).items()}


@torch.no_grad()
def accuracies(model: torch.nn.Module, config: object, sizes: tuple[int, ...]) -> Curve:
    """Top-1 in per cent of the validation images, resized (bicubic, antialiased) to each size."""
    data = list(DATASETS.build(config.val_dataloader.dataset))
    batch = model.data_preprocessor({key: [one[key] for one in data] for key in data[0]})
    labels = torch.stack([sample.gt_label for sample in batch["data_samples"]])
    found = {}
    for side in sizes:
        images = F.interpolate(batch["inputs"], (side, side), mode="bicubic", antialias=True)
        predicted = torch.cat([model(part).argmax(1) for part in images.split(100)])
        found[side] = round(100 * (predicted == labels).double().mean().item(), 2)
    return found


def table(curves: dict[str, list[Curve]]) -> str:
    """Means and, against the first arm, mean and standard error of the differences of pairs."""
    (base, reference), *others = curves.items()
    titles = ["test size", *curves, *(f"{name} less {base}" for name, _ in others)]
    rows = [f"| {' | '.join(titles)} |", "|" + "---:|" * len(titles)]
    for side in reference[0]:
        cells = [f"{np.mean([run[side] for run in runs]):.1f}" for runs in curves.values()]
        for _, runs in others:
            pairs = ([{side: run[side]} for run in arm] for arm in (reference, runs))
            _, mean, error = paired_difference(*pairs)
            cells.append(f"{mean:+.1f} +- {error:.1f}")
        rows.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", metavar="DIR", type=Path, help="folder for runs and picture")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two")
    parser.add_argument("--steps", type=int, default=400, help="of each run (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 24, 32, 48, 64], help="of test images")
    arguments = parser.parse_args()
    curves: dict[str, list[Curve]] = {name: [] for name in ARMS}
    for seed in arguments.seeds:
        for name, settings in ARMS.items():
            folder = arguments.out / f"{name.replace(' ', '-')}-{seed}"
            curves[name].append(measured(folder, seed, settings, arguments.steps, tuple(arguments.sizes)))
            print(f"{name}, seed {seed}: {curves[name][-1]}", flush=True)
        if len(curves[name]) > 1:
            print(table(curves), flush=True)
    draw_comparison(curves, "top-1 in per cent", arguments.out / "resolutions.png", "side of test images")


if __name__ == "__main__":
    main()
