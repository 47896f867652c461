"""Printed verdict on golden kits."""

from __future__ import annotations

import sys
from pathlib import Path

from dense3d.errors import Dense3dError
from tests.golden import verify_kit
from tests.golden.compare import HEADER


def print_verdict(folder: str | Path) -> bool:
    """Verify one kit, print a row per output and a summary line; whether everything passed."""
    try:
        rows = verify_kit(folder)
    except Dense3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    print(HEADER)
    for row in rows:
        print(row)
    failures = sum(not row.passed for row in rows)
    checks = len({row.check for row in rows})
    verdict = "PASS" if failures == 0 else f"FAIL: {failures} of {len(rows)} outputs"
    print(f"{folder}: {len(rows)} outputs of {checks} checks, {verdict}\n")
    return failures == 0
