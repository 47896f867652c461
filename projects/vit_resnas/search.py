"""Search the networks of a supernet under a budget: ``python projects/vit_resnas/search.py --help``."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # for dense3d of a clone, and projects

from dense3d.cli.common import add_config, add_config_options, at_least_one, command

if TYPE_CHECKING:
    from projects.vit_resnas.classifiers import SupernetClassifier
    from projects.vit_resnas.evolution import Scored

EPILOG = (
    "example: python projects/vit_resnas/search.py CONFIG epoch_120.pth --macs 1.8G --out network_def.json. "
    "Scores are kept in network_def.scores.jsonl: the same command goes on where it was stopped."
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    own = argparse.ArgumentParser(description=__doc__.split(":")[0], epilog=EPILOG)
    add_config(own)
    own.add_argument("checkpoint", help="of the supernet")
    own.add_argument(
        "--macs", type=amount, required=True, help="budget of multiply-adds, such as 1.8G or 12M"
    )
    own.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where the best network goes (JSON)"
    )
    own.add_argument("--least", type=float, default=0.975, help="share of the budget to use (default: 0.975)")
    own.add_argument("--iterations", type=at_least_one, default=20, help="(default: 20)")
    own.add_argument("--population", type=at_least_one, default=500, help="random at first (default: 500)")
    own.add_argument("--parents", type=at_least_one, default=75, help="the best so far (default: 75)")
    own.add_argument(
        "--children",
        type=at_least_one,
        default=75,
        help="of an iteration, by mutation, and as many by crossover (default: 75)",
    )
    own.add_argument("--mutation", type=float, default=0.3, help="probability of a gene (default: 0.3)")
    own.add_argument("--seed", type=int, default=0, help="(default: 0)")
    own.add_argument("--top", type=at_least_one, default=10, help="networks in the table (default: 10)")
    own.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(own)
    return own


def amount(text: str) -> float:
    """A number with or without a letter for thousands, millions or billions.

    Example:
        >>> amount("1.8G"), amount("12m"), amount("500")
        (1800000000.0, 12000000.0, 500.0)
    """
    match = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?)([kmg]?)", text.lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no number such as 1.8G, 12M or 12e6")
    return float(match[1]) * {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}[match[2]]


@command
def main() -> None:
    """Search, and write and print the best."""
    arguments = parser().parse_args()
    from dense3d.apis.building import build_model, checked_config, usable_device
    from dense3d.apis.setup import make_synthetic_data, require
    from dense3d.config import parse_options
    from dense3d.engine.checkpoint import existing_file
    from dense3d.files import require_writable_file
    from projects.vit_resnas.evolution import Evolution, Settings
    from projects.vit_resnas.scoring import Accuracy, ScoreFile, fingerprint, read_batches

    names = ("macs", "least", "iterations", "population", "parents", "children", "mutation", "seed")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    checkpoint = existing_file(arguments.checkpoint)
    cfg = checked_config(arguments.config, parse_options(arguments.cfg_options))
    require(cfg, "model", "val_dataloader")
    require_writable_file(arguments.out)
    model = _supernet(build_model(cfg, checkpoint, usable_device(arguments.device)), cfg.filename)
    evolution = Evolution(model.backbone.space, lambda network: cost(model, network), settings)
    make_synthetic_data(cfg, ("val",))
    scores = ScoreFile(arguments.out.with_suffix(".scores.jsonl"), fingerprint(checkpoint, cfg))
    if scores.scores:
        print(f"{len(scores.scores)} networks are scored in {scores.path}", flush=True)
    accuracy = Accuracy(model, read_batches(cfg))

    def score(iteration: int, networks: list) -> list[float]:
        start, found, told = time.monotonic(), [], time.monotonic()
        for number, network in enumerate(networks, start=1):
            found.append(scores.get(network, accuracy))
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(f"  {number} of {len(networks)}, best {max(found):.2f} %", flush=True)
        print(
            f"iteration {iteration + 1} of {settings.iterations}: {len(networks)} networks, best "
            f"{max(found):.2f} %, mean {statistics.fmean(found):.2f} %, {time.monotonic() - start:.0f} s",
            flush=True,
        )
        return found

    found = evolution.run(score)
    largest = accuracy(model.backbone.space.largest)
    print(f"\nof {len(found)} networks (the largest of the space: {largest:.2f} %)")
    print("\n".join(table(model, found[: arguments.top])))
    write(arguments.out, model, found[: arguments.top], settings)
    print(f"\n{arguments.out} has the first; its weights: python projects/vit_resnas/export.py --help")


def _supernet(model: object, filename: str | None) -> SupernetClassifier:
    from dense3d.errors import ConfigError
    from projects.vit_resnas.classifiers import SupernetClassifier

    if not isinstance(model, SupernetClassifier):
        raise ConfigError(f"{filename}: the model is a {type(model).__name__}, not a SupernetClassifier")
    return model


def cost(model: SupernetClassifier, network: tuple[int, ...]) -> int:
    """Multiply-adds of a network at the size that the model's positions are for."""
    from projects.vit_resnas.cost import multiply_adds

    backbone = model.backbone
    size = backbone.grid[0] * backbone.patch_size
    return multiply_adds(backbone.space.arch(network), size, model.num_classes, backbone.in_channels)


def table(model: SupernetClassifier, found: list[Scored]) -> list[str]:
    """A line for each network."""
    lines = ["accuracy   multiply-adds    parameters  widths            blocks"]
    for one in found:
        dims, blocks = _shape(model, one)
        lines.append(
            f"{one.accuracy:6.2f} % {one.macs / 1e6:12.2f} M {parameters(model, one) / 1e6:11.3f} M  "
            f"{'-'.join(map(str, dims)):<17} {'-'.join(map(str, blocks))}"
        )
    return lines


def _shape(model: SupernetClassifier, one: Scored) -> tuple[tuple[int, ...], list[int]]:
    arch = model.backbone.space.arch(one.network)
    return arch["dims"], [len(stage) for stage in arch["blocks"]]


def parameters(model: SupernetClassifier, one: Scored) -> int:
    """Of a network with the head of its class."""
    from projects.vit_resnas.slicing import classifier_of

    return sum(p.numel() for p in classifier_of(model.backbone, one.network, model.num_classes).parameters())


def write(path: Path, model: SupernetClassifier, found: list[Scored], settings: object) -> None:
    """The best network and the next ones."""
    from dataclasses import asdict

    from dense3d.json_files import write_json
    from projects.vit_resnas.network_def import to_network_def

    entries = [
        dict(
            accuracy=one.accuracy,
            macs=one.macs,
            parameters=parameters(model, one),
            arch=model.backbone.space.arch(one.network),
            network_def=to_network_def(model.backbone.space, one.network, model.num_classes),
        )
        for one in found
    ]
    write_json(path, {**entries[0], "settings": asdict(settings), "others": entries[1:]})


if __name__ == "__main__":
    raise SystemExit(main())
