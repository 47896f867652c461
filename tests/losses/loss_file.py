"""Losses of the first training steps, compared with a committed record of our own earlier output.

The record is no truth about a model; it notices when a change to the data path, the sampler, a random
stream, a loss or the optimiser alters training without anybody meaning it. A change that is meant
rewrites it::

    DENSE3D_WRITE_LOSSES=1 python -m pytest -n0 tests/engine/test_loss_file.py

Tolerance. Another CPU adds the same float32 terms in another order (vector width, number of threads,
oneDNN's choice of kernel), which changes a sum by some 1e-7 of its size, and each training step may enlarge
what came before. So step ``k`` (from 0) is compared within ``FIRST * GROWTH ** k`` of the loss. For the tiny
model, one or two threads, oneDNN on or off, and float64 in place of float32 change twenty losses by at most
2e-7, a tenth of ``FIRST``; ``test_loss_file.py`` repeats that with oneDNN off. A changed random stream or
formula is off by per cents at once. A larger model may need a larger ``growth``: measure it that way.

Use models whose random numbers are the same on every CPU: those of ``torch.rand`` and ``torch.randperm`` are,
those of ``torch.nn.functional.dropout`` are not (it takes MKL's generator where there is one).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook

FIRST = 2e-6
GROWTH = 1.25
HEADER = (
    "Record of dense3d's own output, not of a reference: losses of the first training steps. "
    "Rewrite it only for a change that is meant to alter training; tests/losses/loss_file.py says how."
)


class RecordLosses(Hook):
    """Collects what the model reports at each iteration.

    Attributes:
        steps: one ``{name: value}`` an iteration.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Note every entry of the outputs whose name has "loss" in it."""
        self.steps.append({k: float(torch.as_tensor(v).detach()) for k, v in outputs.items() if "loss" in k})


def deviations(
    found: Sequence[dict[str, float]],
    expected: Sequence[dict[str, float]],
    first: float = FIRST,
    growth: float = GROWTH,
) -> list[str]:
    """Every loss that is off by more than its tolerance, and every step or name that is not in both."""
    if len(found) != len(expected):
        return [f"{len(found)} steps instead of {len(expected)}"]
    off = []
    for step, (ours, theirs) in enumerate(zip(found, expected)):
        if ours.keys() != theirs.keys():
            off.append(f"step {step}: losses {sorted(ours)} instead of {sorted(theirs)}")
            continue
        for name, value in theirs.items():
            error = abs(ours[name] - value) / max(abs(value), 1e-12)
            if not error <= first * growth**step:
                off.append(f"step {step}: {name} {ours[name]!r} instead of {value!r}, off by {error:.1e}")
    return off


def compare_with_record(
    name: str, found: Sequence[dict[str, float]], first: float = FIRST, growth: float = GROWTH
) -> None:
    """Compare with ``tests/losses/<name>.json``; write it where ``DENSE3D_WRITE_LOSSES`` is set.

    Raises:
        AssertionError: names the first losses that are off.
    """
    path = Path(__file__).with_name(f"{name}.json")
    if os.environ.get("DENSE3D_WRITE_LOSSES"):
        record = {"about": HEADER, "steps": list(found)}
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return
    off = deviations(found, json.loads(path.read_text(encoding="utf-8"))["steps"], first=first, growth=growth)
    assert not off, f"{path.name}: {len(off)} deviations: " + "; ".join(off[:5])
