"""Random generators of one process: captured into plain data, restored, preserved, seeded per sample."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def capture() -> dict:
    """State of Python's, NumPy's and torch's generators as tensors and numbers.

    Returns:
        ``{"python", "numpy", "torch"[, "cuda"]}``; loadable with ``weights_only=True``.

    Example:
        >>> state = capture()
        >>> first = torch.rand(3)
        >>> restore(state)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore(state: dict) -> None:
    """Put the generators back to what :func:`capture` returned."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].cpu().numpy().astype(np.uint32)
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextlib.contextmanager
def preserved_on_cpu() -> Iterator[None]:
    """Leave the CPU generators as they were, whatever the block draws from them.

    CUDA's is not touched: a forked data worker may not use it.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)


def seed_sample(seed: int) -> None:
    """Seed the generators that data transforms draw from (Python, NumPy and torch on the CPU).

    Args:
        seed: 64-bit number; NumPy takes its lower 32 bits.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.random.default_generator.manual_seed(seed)


def mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers; neighbouring inputs give unrelated seeds.

    Example:
        >>> mix(1, 2) == mix(1, 2), mix(1, 2) == mix(2, 1)
        (True, False)
    """
    words = np.random.SeedSequence([abs(int(n)) for n in numbers]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])
