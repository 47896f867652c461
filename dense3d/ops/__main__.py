"""``python -m dense3d.ops [OPERATOR ...]``: which implementation of each operator runs on this machine."""

from __future__ import annotations

import argparse
import sys

from dense3d.errors import Dense3dError


def main() -> int:
    """Print the table of candidates; 2 when an operator does not exist."""
    parser = argparse.ArgumentParser(prog="python -m dense3d.ops", description=__doc__)
    parser.add_argument("operator", nargs="*", help="only these operators")
    operators = parser.parse_args().operator

    from dense3d.ops.dispatch import BackendTable, backends

    try:
        print(BackendTable(row for name in operators or [None] for row in backends(name)))
    except Dense3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
