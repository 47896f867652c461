"""Train classifiers of points on frozen features of scenes.

A linear layer and nearest neighbours, on hierarchical features of pre-trained weights, of random ones, and on
height, normal and colour as they are.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dense3d.cli.common import add_config, add_config_options, at_least_one

if TYPE_CHECKING:
    from dense3d.apis.scene_probes import SceneProbes

EPILOG = (
    "examples: dense3d probe-scenes CONFIG --checkpoint msm.pth --shares 1 5 10 100; "
    "dense3d probe-scenes CONFIG --checkpoint seed0.pth seed1.pth seed2.pth"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weights of the backbone (default: the baselines alone); of several, each is a run with the "
        "next seed, and mean differences from the baselines are printed with their standard errors",
    )
    parser.add_argument(
        "--protocol",
        nargs="+",
        default=["linear", "nearest"],
        metavar="NAME",
        help="linear, nearest (default: both)",
    )
    parser.add_argument(
        "--shares",
        nargs="+",
        type=float,
        default=[100.0],
        metavar="PERCENT",
        help="of the training labels (default: 100)",
    )
    parser.add_argument(
        "--of", choices=("scenes", "points"), default="scenes", help="what shares are of (default: scenes)"
    )
    parser.add_argument(
        "--points", type=at_least_one, default=500, help="of each training scene at most (default: 500)"
    )
    parser.add_argument("--no-baselines", action="store_true", help="probe the checkpoint alone")
    parser.add_argument("--by-class", action="store_true", help="print the IoU of each class, too")
    parser.add_argument("--seed", type=int, default=0, help="of random weights and draws (default: 0)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.scene_probes import probe_scenes
    from dense3d.config import parse_options

    runs = []
    for number, checkpoint in enumerate(arguments.checkpoint or [None]):
        found = probe_scenes(
            arguments.config,
            checkpoint,
            arguments.protocol,
            arguments.shares,
            arguments.of,
            arguments.points,
            not arguments.no_baselines,
            arguments.seed + number,
            arguments.device,
            parse_options(arguments.cfg_options),
        )
        runs.append(found)
        print(f"{checkpoint or 'baselines'}, seed {found.seed}", flush=True)
        for line in table(found, arguments.by_class):
            print(f"  {line}", flush=True)
    if len(runs) > 1 and not arguments.no_baselines:
        for line in differences(runs):
            print(line)


def table(found: SceneProbes, by_class: bool) -> list[str]:
    """A line for each probe."""
    lines = []
    for key, score in found.scores.items():
        lines.append(
            f"{key.share:g} % of the labels ({found.scenes[key.share]} scenes), {key.protocol}, "
            f"{key.source}: mIoU {score['miou']:.1f}, class accuracy {score['class_accuracy']:.1f}, "
            f"accuracy {score['accuracy']:.1f}"
        )
        if by_class:
            classes = {k.removeprefix("iou/"): v for k, v in score.items() if k.startswith("iou/")}
            lines.append("  " + ", ".join(f"{name} {value:.1f}" for name, value in classes.items()))
    return lines


def differences(runs: list[SceneProbes]) -> list[str]:
    """Mean differences of mIoU from the baselines over runs."""
    from dataclasses import replace

    from dense3d.evaluation.pointcloud import paired_difference

    lines = []
    for key in (key for key in runs[0].scores if key.source == "pre-trained"):
        for other in ("random", "raw"):
            pair = ([run.scores[k]["miou"] for run in runs] for k in (key, replace(key, source=other)))
            mean, error = paired_difference(*pair)
            lines.append(
                f"{key.share:g} % of the labels, {key.protocol}, pre-trained less {other}: {mean:+.1f} mIoU, "
                f"standard error {error:.1f}, {len(runs)} pairs"
            )
    return lines
