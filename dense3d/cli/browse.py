"""Draw a config's augmented data, or check all its files."""

from __future__ import annotations

import argparse
from pathlib import Path

from dense3d.cli.common import add_config, add_config_options, at_least_one

EPILOG = (
    "examples: dense3d browse dino_r18_synthetic-coco --out browse; "
    "dense3d browse dino_r50_8xb2-12e_coco --check --json report.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--out", help="folder for the pictures (default: work_dirs/CONFIG/browse)")
    parser.add_argument("--number", type=at_least_one, default=24, help="samples to draw (default: 24)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: train")
    parser.add_argument("--seed", type=int, default=0, help="of shuffling and augmentation (default: 0)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="draw nothing; read every annotation and image of train, val and test data and report what is "
        "missing, empty or corrupt; exit status 1 if anything is",
    )
    parser.add_argument("--json", metavar="FILE", help="with --check: also write the whole report here")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis.browsing import browse, check_data
    from dense3d.config import parse_options, resolve_config

    options = parse_options(arguments.cfg_options)
    if arguments.check:
        from dense3d.datasets.scan.report import merged_table, save_reports
        from dense3d.files import require_writable_file

        if arguments.json:
            require_writable_file(arguments.json)
        reports = check_data(arguments.config, options)
        print(merged_table(reports))
        if arguments.json:
            save_reports(reports, arguments.json)
        faults = sum(len(report.faults) for report in reports)
        print(f"\n{faults} faults" if faults else "\nno faults")
        return 1 if faults else 0
    out = arguments.out or Path("work_dirs") / resolve_config(arguments.config).stem / "browse"
    result = browse(arguments.config, out, arguments.number, arguments.split, options, arguments.seed)
    for sentence in result.skipped:
        print(f"skipped: {sentence}")
    print(f"{result.drawn} samples drawn: {', '.join(map(str, result.sheets))}")
    return 0
