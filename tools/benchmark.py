#!/usr/bin/env python3
"""Time dense3d next to its peers, in turns within one process, and print the ratios."""

import argparse
import sys

from dense3d.apis.command import command
from dense3d.benchmarks import SUITES


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A ratio is a peer's median time over dense3d's. "
        "Example: python tools/benchmark.py ops --only nms roi_align --threads 2 --markdown table.md",
    )
    parser.add_argument("suite", help=f"what to time: {', '.join(SUITES)}")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these cases; a wrong name lists them")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--repeats", type=int, default=7, help="timings of each implementation (default: 7)")
    parser.add_argument("--json", metavar="FILE", help="also write all timings here")
    parser.add_argument("--markdown", metavar="FILE", help="also write the table here")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or (arguments.threads or 1) < 1:
        parser.error("--repeats and --threads must be at least 1")
    return arguments


@command
def main() -> None:
    arguments = parse()
    from dense3d.benchmarks.run import benchmark

    benchmark(
        arguments.suite,
        only=arguments.only,
        device=arguments.device,
        threads=arguments.threads,
        repeats=arguments.repeats,
        json_file=arguments.json,
        markdown_file=arguments.markdown,
    )


if __name__ == "__main__":
    sys.exit(main())
