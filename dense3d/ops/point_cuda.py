"""Operators on clouds of points on CUDA: whether Triton can compile there, and the way to its kernels.

torch brings Triton on Linux; Triton compiles a small host program with the C compiler that it finds.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable


def triton_unavailable() -> str | None:
    """Why Triton's kernels cannot be used; None where they can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (torch brings it on Linux)"
    if not any(map(shutil.which, (os.environ.get("CC", "gcc"), "gcc", "clang"))):
        return "Triton needs a C compiler at run time, and there is neither gcc nor clang"
    try:
        importlib.import_module("dense3d.ops.point_triton")
    except Exception as error:  # another Triton than the kernels were written for
        return f"triton cannot be imported ({error})"
    return None


def kernel(name: str) -> Callable:
    """The function of that name in ``dense3d.ops.point_triton``, imported at its first call."""

    def call(*args):
        return getattr(importlib.import_module("dense3d.ops.point_triton"), name)(*args)

    call.__name__ = name
    return call
