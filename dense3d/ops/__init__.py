"""Functions on tensors: no weights, no registry. Each runs everywhere; ``backends()`` lists what serves it.

Names are imported on first use, so that ``import dense3d.ops`` costs nothing.
"""

from __future__ import annotations

import importlib

# public name -> module that defines it
_EXPORTS: dict[str, str] = {
    "backends": "dense3d.ops.dispatch",
    "install_mmcv_extension": "dense3d.ops.mmcv_imports",
    "mmcv_extension_state": "dense3d.ops.mmcv_imports",
    "multi_scale_deformable_attention": "dense3d.ops.deformable_attention",
    "multi_scale_deformable_attention_reference": "dense3d.ops.deformable_attention",
    "register_backend": "dense3d.ops.dispatch",
    "select_backend": "dense3d.ops.dispatch",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
