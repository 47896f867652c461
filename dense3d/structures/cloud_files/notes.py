"""What a reader decided by itself is said aloud, once for each file."""

from __future__ import annotations

import logging


def say(message: str) -> None:
    """Write a sentence to mmengine's current logger, as a warning."""
    from mmengine.logging import print_log

    print_log(message, "current", logging.WARNING)
