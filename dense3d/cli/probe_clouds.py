"""Train classifiers on frozen features of clouds.

A linear support vector machine and a linear layer, on features of pre-trained or random weights.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config, add_config_options

EPILOG = "example: dense3d probe-clouds CONFIG --checkpoint point-mae.pth --protocol linear-svm"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--checkpoint", metavar="FILE", help="weights of the backbone (default: random ones)")
    parser.add_argument(
        "--protocol",
        nargs="+",
        default=["linear-svm", "mlp-linear"],
        metavar="NAME",
        help="linear-svm, mlp-linear (default: both)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random weights and rotations (default: 0)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.cloud_probes import probe_clouds
    from dense3d.config import parse_options

    found = probe_clouds(
        arguments.config,
        arguments.checkpoint,
        arguments.protocol,
        arguments.seed,
        arguments.device,
        parse_options(arguments.cfg_options),
    )
    for name, score in found.items():
        print(f"{name}: overall accuracy {score.overall:.2f}, class accuracy {score.by_class:.2f}")
