"""Checkpoint content as tensors, numbers, strings, lists and dicts, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from dense3d.errors import CheckpointError

_HISTORY = "history_buffer"
# Entries that inform and may lose an odd object; all others decide how training goes on.
_INFORMATIVE = ("meta", "message_hub")
_ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.device, torch.dtype, torch.Size)


def make_plain(checkpoint: dict, warn: Callable[[str], None] = print) -> dict:
    """A copy of ``checkpoint`` that ``torch.load(weights_only=True)`` reads without an allow-list.

    Tensors go to the CPU; NumPy scalars become numbers, arrays tensors (lists in ``meta`` and
    ``message_hub``), mmengine's history buffers small dicts (:func:`revive_histories` undoes that).

    Args:
        checkpoint: what is to be saved.
        warn: told what had to be left out of the informative entries.

    Raises:
        CheckpointError: an entry that training needs holds another object.

    Example:
        >>> make_plain({"meta": {"seed": np.int64(3), "palette": np.zeros((1, 3))}})["meta"]["seed"]
        3
    """
    plain = {}
    for key, value in checkpoint.items():
        dropped: list[str] = []
        plain[key] = _plain(value, str(key), dropped)
        if dropped and key not in _INFORMATIVE:
            raise CheckpointError(
                f"the checkpoint cannot be saved: {', '.join(dropped[:5])} cannot be read back safely "
                "(weights_only=True); let state_dict() return tensors, numbers, strings, lists and dicts"
            )
        if dropped:
            warn(f"left out of the checkpoint, because only plain data is saved: {', '.join(dropped)}")
    return plain


class _Dropped:
    """Marks a value that has no plain form."""


def _plain(value: Any, path: str, dropped: list[str]) -> Any:
    if isinstance(value, torch.Tensor):
        return _plain_tensor(value)
    # NumPy's float64 is a float, so NumPy comes before the atoms.
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != object:
        # Colours of classes and the like: their readers expect lists or arrays, not tensors.
        return value.tolist() if path.split(".")[0] in _INFORMATIVE else _plain_array(value)
    if type(value) in _ATOMS:
        return value
    if isinstance(value, HistoryBuffer):
        return _plain_history(value)
    if isinstance(value, dict):
        return _plain_dict(value, path, dropped)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = (_plain(item, f"{path}[{i}]", dropped) for i, item in enumerate(value))
        kept = [item for item in items if item is not _Dropped]
        return kept if isinstance(value, list) else tuple(kept) if isinstance(value, tuple) else set(kept)
    if isinstance(value, (PurePath, str)):
        return str(value)
    for atom in (bool, int, float):
        if isinstance(value, atom):
            return atom(value)
    dropped.append(f"{path} ({type(value).__module__}.{type(value).__qualname__})")
    return _Dropped


def _plain_dict(value: dict, path: str, dropped: list[str]) -> dict:
    plain = OrderedDict() if isinstance(value, OrderedDict) else {}
    for key, item in value.items():
        item = _plain(item, f"{path}.{key}", dropped)
        if item is not _Dropped:
            plain[_plain(key, path, dropped)] = item
    # nn.Module.state_dict() keeps the versions of its modules here; torch pickles the attribute.
    if isinstance(plain, OrderedDict) and hasattr(value, "_metadata"):
        plain._metadata = _plain_dict(value._metadata, f"{path}._metadata", dropped)
    return plain


def _plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu()
    # A view is saved with the whole storage behind it.
    is_dense = tensor.layout == torch.strided
    if is_dense and tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes():
        tensor = tensor.clone()
    return tensor


def _plain_array(array: np.ndarray) -> Any:
    try:
        return torch.from_numpy(np.ascontiguousarray(array).copy())
    except TypeError:
        return array.tolist()


def _plain_history(buffer: HistoryBuffer) -> dict:
    values, counts = buffer.data
    as_tensor = torch.as_tensor
    return {
        _HISTORY: as_tensor(np.asarray(values, dtype=np.float64)).clone(),
        "counts": as_tensor(np.asarray(counts, dtype=np.float64)).clone(),
        "max_length": int(buffer.max_length),
    }


def revive_histories(message_hub: dict) -> dict:
    """The state of a message hub with its history buffers as objects again."""
    scalars = OrderedDict()
    for name, value in message_hub["log_scalars"].items():
        if isinstance(value, dict) and _HISTORY in value:
            value = HistoryBuffer(value[_HISTORY].numpy(), value["counts"].numpy(), value["max_length"])
        scalars[name] = value
    return {**message_hub, "log_scalars": scalars}
