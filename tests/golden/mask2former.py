"""Golden adapter of Mask2Former: the kit's ``config`` tells which part of the system it holds."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from dense3d.errors import DataError

# A key of the config that only this part has -> module with ``open_kit``.
PARTS: dict[str, str] = {
    "backbone": "tests.golden.mask2former_model",
    "oversample_ratio": "tests.golden.mask2former_loss",
    "overlap_threshold": "tests.golden.mask2former_postprocess",
}


def open_kit(kit) -> Callable:
    """Open a kit with the adapter of its part.

    Raises:
        DataError: the config names no part that we know.
    """
    config = kit.meta.get("config", {})
    for key, module in PARTS.items():
        if key in config:
            return importlib.import_module(module).open_kit(kit)
    raise DataError(
        f"the config of {kit.folder} has none of the keys {', '.join(PARTS)} that tell a part of "
        "Mask2Former; restore the kit"
    )
