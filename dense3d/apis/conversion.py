"""Official checkpoints into ours, as files."""

from __future__ import annotations

from pathlib import Path

import torch

from dense3d.checkpoints import convert
from dense3d.engine.checkpoint import load_checkpoint
from dense3d.files import atomic_write


def convert_checkpoint(system: str, source: str | Path, target: str | Path) -> int:
    """Convert an official checkpoint file of ``system`` and write it where our models load it.

    Args:
        system: name of a converter, see :func:`dense3d.checkpoints.convert`.
        source: official checkpoint, read with ``weights_only=True``.
        target: file to write.

    Returns:
        How many tensors were written.

    Raises:
        CheckpointError: the file is unsafe or damaged, or does not hold what ``system`` has.
    """
    loaded = load_checkpoint(source)
    for key in ("state_dict", "model", "module"):
        if isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    state = convert(system, loaded)
    with atomic_write(target) as file:
        torch.save({"state_dict": state, "meta": {"converted_from": system}}, file)
    return len(state)
