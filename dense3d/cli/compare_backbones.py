"""Train backbones with one budget; rank by tasks and cost.

Classification, detection, segmentation, linear probes and retrieval; on synthetic data, or by own configs.
"""

from __future__ import annotations

import argparse
import sys

from dense3d.cli.common import add_config_options

EPILOG = (
    "examples: dense3d compare-backbones work_dirs/battle --backbones 'ConvNeXt (V1)' 'Swin (V1)'; "
    "dense3d compare-backbones work_dirs/own --from backbones.py --tasks detection --config "
    "detection=my_config.py"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="DIR", help="folder for runs and report; run again to go on")
    parser.add_argument(
        "--backbones",
        nargs="+",
        metavar="NAME",
        help="small variants, such as 'Swin (V2)'; 'list' prints all (default: all)",
    )
    parser.add_argument(
        "--from",
        dest="file",
        metavar="FILE",
        help="Python file whose dicts with a 'type' are the backbones, instead of the small variants",
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="TASK",
        help="classification, detection, segmentation (default: these), linear-probe, retrieval",
    )
    parser.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="TASK=CONFIG",
        help="own configs in place of the synthetic ones; their model.backbone is replaced",
    )
    parser.add_argument("--size", type=int, default=224, help="side of images for costs (default: 224)")
    parser.add_argument("--seed", type=int, default=0, help="of all runs (default: 0)")
    parser.add_argument("--device", help="for costs and frozen features (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from dense3d.backbones.variants import tiny_backbones
    from dense3d.benchmarks.backbone_choice import backbones_of_file, chosen_variants
    from dense3d.benchmarks.backbone_comparison import USUAL_TASKS, compare_backbones
    from dense3d.benchmarks.backbone_report import as_markdown, table_of
    from dense3d.config import parse_options
    from dense3d.errors import ConfigError

    if arguments.backbones == ["list"] and arguments.file is None:
        print("\n".join(tiny_backbones()))
        return 0
    own = None if arguments.file is None else backbones_of_file(arguments.file)
    tasks = tuple(arguments.tasks or USUAL_TASKS)
    pairs = [entry.partition("=") for entry in arguments.config]
    if not all(separator for _, separator, _ in pairs):
        raise ConfigError("--config takes TASK=CONFIG, such as detection=my_config.py")
    comparison = compare_backbones(
        arguments.out,
        chosen_variants(arguments.backbones, own),
        tasks,
        {task: config for task, _, config in pairs},
        parse_options(arguments.cfg_options),
        arguments.seed,
        arguments.size,
        arguments.device,
        tell=lambda sentence: print(sentence, flush=True),
    )
    print(f"\n{as_markdown(table_of(comparison, tasks))}\n")
    print(f"table and picture: {comparison.folder / 'comparison.md'}, {comparison.folder / 'pareto.png'}")
    failed = [one for one in comparison.outcomes if one.error is not None]
    for one in failed:
        print(f"no result: {one.backbone}, {one.task}: {one.error}", file=sys.stderr)
    return 1 if failed else 0
