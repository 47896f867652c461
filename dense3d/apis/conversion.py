"""Official checkpoints into ours, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dense3d.checkpoints import convert, settings
from dense3d.engine.checkpoint import load_checkpoint
from dense3d.errors import CheckpointError
from dense3d.files import atomic_write, is_file


def convert_checkpoint(
    system: str,
    source: str | Path | Sequence[str | Path],
    target: str | Path,
    tell: Callable[[str], None] | None = None,
) -> int:
    """Convert an official checkpoint file of ``system`` and write it where our models load it.

    Args:
        system: name of a converter, see :func:`dense3d.checkpoints.convert`.
        source: official checkpoint, read with ``weights_only=True``; flax's files (``.npz``) without pickles.
            Several files where the official code keeps the parts of a model in several.
        target: file to write.
        tell: told what the file says of its model, for the config, where it says anything. The same stands in
            ``meta["settings"]`` of the target.

    Returns:
        How many tensors were written.

    Raises:
        CheckpointError: a file is unsafe or damaged, does not hold what ``system`` has, or is ``target``; or
            two files hold the same name.
    """
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    if Path(target).resolve() in {Path(path).resolve() for path in sources}:
        raise CheckpointError(f"{target} is the official checkpoint itself; write to another file")
    loaded: dict[str, Any] = {}
    weights: dict[str, torch.Tensor] = {}
    for path in sources:
        part = read_arrays(path) if Path(path).suffix == ".npz" else load_checkpoint(path)
        found = _weights_in(part)
        twice = sorted(set(found) & set(weights))
        if twice:
            raise CheckpointError(
                f"{path} holds {twice[0]!r}, which a file before it has: give each part once"
            )
        loaded |= part
        weights |= found
    state = convert(system, weights)
    meta: dict[str, Any] = {"converted_from": system}
    found = settings(system, loaded)
    if found:
        meta["settings"] = found
    with atomic_write(target) as file:
        torch.save({"state_dict": state, "meta": meta}, file)
    if found and tell is not None:
        tell(f"its model, in a config: {_as_call(found)}")
    return len(state)


def _weights_in(loaded: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Named tensors of a file, which may lie under one of the usual names."""
    for key in ("state_dict_ema", "state_dict", "model", "module"):
        if isinstance(loaded.get(key), dict):
            return loaded[key]
    return loaded


def _as_call(value: Any) -> str:
    """Settings as they are written in configs.

    Example:
        >>> _as_call({"network": {"enc_depth": 24, "pos_embed": "RoPE100"}})
        "dict(network=dict(enc_depth=24, pos_embed='RoPE100'))"
    """
    if not isinstance(value, dict):
        return repr(value)
    return f"dict({', '.join(f'{name}={_as_call(item)}' for name, item in value.items())})"


def read_arrays(path: str | Path) -> dict[str, torch.Tensor]:
    """The arrays of an ``.npz`` file, as AugReg's checkpoints are.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than arrays of numbers.
    """
    if not is_file(path):
        raise CheckpointError(f"the checkpoint {path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:  # whatever zip, NumPy or torch find wrong with it
        raise CheckpointError(
            f"{path} is damaged or holds more than arrays of numbers ({str(error).splitlines()[0]}): "
            "copy it again"
        ) from error
