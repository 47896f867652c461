"""Whether bfloat16 makes a device faster."""

from __future__ import annotations

import torch


def half_pays(device: str | torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32: GPUs, and CPUs with instructions for it.

    Other CPUs convert each number; there a step under autocast takes several times as long as in float32.
    """
    if torch.device(device).type != "cpu":
        return True
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # of torch itself, without documentation
    return known is not None and bool(known())
