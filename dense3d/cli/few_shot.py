"""Classify clouds from few examples, fold by fold.

Mean and deviation over folds, by fine-tuning or on frozen features; pre-trained weights beside random ones.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config, add_config_options, at_least_one

EPILOG = (
    "examples: dense3d few-shot CONFIG --checkpoint point-mae.pth --compare; "
    "dense3d few-shot CONFIG --checkpoint point-mae.pth --protocol linear-svm --folds 10"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--checkpoint", metavar="FILE", help="weights to start from (default: random ones)")
    parser.add_argument(
        "--protocol",
        default="fine-tune",
        metavar="NAME",
        help="fine-tune, or linear-svm or mlp-linear on frozen features (default: fine-tune)",
    )
    parser.add_argument("--folds", type=at_least_one, default=10, help="run the first so many (default: 10)")
    parser.add_argument("--compare", action="store_true", help="also start from random weights, fold by fold")
    parser.add_argument("--work-dir", metavar="DIR", help="folder for runs and few_shot.json")
    parser.add_argument(
        "--device", help="for frozen features: cpu, cuda, ... (default: a GPU if there is one)"
    )
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.few_shot import few_shot
    from dense3d.config import parse_options
    from dense3d.evaluation.pointcloud import paired_difference

    runs = few_shot(
        arguments.config,
        arguments.checkpoint,
        arguments.protocol,
        arguments.folds,
        arguments.compare,
        arguments.work_dir,
        arguments.device,
        parse_options(arguments.cfg_options),
        tell=lambda start, score: print(f"{start}, fold {score.fold}: {score.last:.1f}", flush=True),
    )
    print()
    for found in runs:
        print(f"{found.start}, {arguments.protocol}: accuracy {found.last}")
        if arguments.protocol == "fine-tune":
            print(f"{found.start}, best evaluation of each fold, chosen on its test clouds: {found.best}")
    if len(runs) == 2:
        first, second = ([fold.last for fold in found.folds] for found in runs)
        mean, error = paired_difference(first, second)
        print(f"pre-trained less random: {mean:+.1f} points, standard error {error:.1f}, {len(first)} pairs")
