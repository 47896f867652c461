"""When a run was evaluated, from logs that do not say so: of dense3d 0.1 and of mmengine."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

_BATCHES = re.compile(r"Epoch\(train\)\s+\[\d+\]\[\s*\d+/(\d+)\]")


@dataclass(frozen=True)
class OldSchedule:
    """What a run's folder tells of its evaluations.

    Attributes:
        batches: of an epoch, or None where epochs are not counted or the text log is gone.
        interval: iterations between evaluations, or None where epochs are counted or the config is gone.
        last: number of iterations of the whole run, where iterations are counted.
    """

    batches: int | None = None
    interval: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, log: Path) -> OldSchedule:
        """From the files beside ``FOLDER/vis_data/scalars.json``: the text log and the config.

        Args:
            log: the JSON log.
        """
        loop = _train_cfg(log.with_name("config.py"))
        if "max_iters" in loop:
            return cls(interval=loop.get("val_interval", 1), last=loop["max_iters"])
        return cls(batches=_batches(log.parent.parent))

    def iteration(self, step: int, trained: int, before: int) -> int:
        """After which iteration an evaluation was made, 0 if nothing tells.

        Args:
            step: of its row: the epoch.
            trained: iteration of the last row of losses before it, 0 without one.
            before: iteration of the evaluation before it.
        """
        if self.batches and step:
            return step * self.batches
        if self.interval:
            # The first one that was due at or after the last row of losses.
            due = max(-(-trained // self.interval) * self.interval, before + self.interval)
            return min(due, self.last) if self.last else due
        return trained


def _train_cfg(config: Path) -> dict[str, int]:
    """Whole numbers in ``train_cfg`` of a config that was written by a run, which is not executed."""
    try:
        tree = ast.parse(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "train_cfg":
            keywords = getattr(node.value, "keywords", ())
            values = {k.arg: getattr(k.value, "value", None) for k in keywords}
            return {name: value for name, value in values.items() if isinstance(value, int)}
    return {}


def _batches(folder: Path) -> int | None:
    for path in sorted(folder.glob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            found = next(filter(None, map(_BATCHES.search, file)), None)
        if found:
            return int(found[1])
    return None
