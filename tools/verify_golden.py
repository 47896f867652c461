#!/usr/bin/env python
"""Compare dense3d with official implementations: a row per output, a non-zero exit when any fails."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # tests/golden is beside the library


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kits", nargs="+", metavar="KIT", help="folder with kit.json and tensors.npz")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    from tests.golden import print_verdict

    failed = [folder for folder in args.kits if not print_verdict(folder)]
    if len(args.kits) > 1:
        verdict = f"FAIL: {', '.join(failed)}" if failed else "PASS"
        print(f"{len(args.kits) - len(failed)} of {len(args.kits)} kits, {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
