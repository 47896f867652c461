#!/usr/bin/env python3
"""Try every backbone under every head, one training step and one prediction each, and print the table."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # tests/compatibility is beside the library

from dense3d.cli.common import command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: dense3d compatibility --out docs/compatibility.md"
    )
    parser.add_argument("--out", metavar="FILE", help="write the table there, as Markdown")
    return parser.parse_args()


@command
def main() -> int:
    arguments = parse()
    from tests.compatibility.table import FAILS, fill_table, write_table

    def report(backbone: str, head: str, cell: str) -> None:
        print(f"{backbone:32} {head:28} {cell}", flush=True)

    cells = fill_table(report)
    if arguments.out:
        write_table(arguments.out, cells)
        print(f"the table is in {arguments.out}")
    failures = sum(cell.startswith(FAILS) for row in cells.values() for cell in row.values())
    print(f"{failures} of {sum(map(len, cells.values()))} pairs fail")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
