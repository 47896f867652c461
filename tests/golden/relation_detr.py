"""Golden adapter of Relation-DETR: the kit's ``config`` tells which part of the system it holds."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from dense3d.errors import DataError

# A key of the config (or of a backbone's name) that only this part has -> module with ``open_kit``.
PARTS: dict[str, str] = {
    "backbone": "tests.golden.relation_detr_model",
    "d_ffn": "tests.golden.relation_detr_decoder",
    "cost_class": "tests.golden.relation_detr_criterion",
    "denoising_nums": "tests.golden.relation_detr_denoising",
    "num_points": "tests.golden.relation_detr_attention",
    "temperature": "tests.golden.relation_encoding",
    "select": "tests.golden.relation_detr_postprocess",
}
BACKBONES: dict[str, str] = {
    "swin": "tests.golden.swin",
    "focalnet": "tests.golden.focalnet",
}


def open_kit(kit) -> Callable:
    """Open a kit with the adapter of its part.

    Raises:
        DataError: the config names no part that we know.
    """
    config = kit.meta.get("config", {})
    arch = str(config.get("arch", ""))
    modules = [module for name, module in BACKBONES.items() if arch.startswith(name)]
    modules += [module for key, module in PARTS.items() if key in config]
    if not modules:
        raise DataError(
            f"the config of {kit.folder} has none of the keys {', '.join(PARTS)} that tell a part "
            "of Relation-DETR; restore the kit"
        )
    return importlib.import_module(modules[0]).open_kit(kit)
