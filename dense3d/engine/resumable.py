"""The checkpoint to go on from: by iteration, in a run's own folders, past damaged ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from dense3d.engine.checkpoint import load_checkpoint, peek
from dense3d.errors import CheckpointError
from dense3d.files import atomic_write

POINTER = "last_checkpoint"
# Parts that resuming reads, and their types; what is absent was not saved.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "meta": Mapping,
    "meta.epoch": int,
    "meta.iter": int,
    "state_dict": Mapping,
    "ema_state_dict": Mapping,
    "optimizer": Mapping,
    "param_schedulers": (list, Mapping),
    "message_hub": Mapping,
    "message_hub.log_scalars": Mapping,
    "message_hub.runtime_info": Mapping,
    "message_hub.resumed_keys": Mapping,
    "dense3d": Mapping,
    "dense3d.world_size": int,
    "dense3d.random_states": list,
    "dense3d.gradients": Mapping,
    "dense3d.progress": Mapping,
    **{f"dense3d.progress.{name}": int for name in ("epoch", "iter", "data_epoch", "batch")},
}
_NEEDED = ("meta", "state_dict")


def check_parts(checkpoint: Mapping[str, Any], path: object) -> None:
    """See that the parts of a checkpoint are what resuming expects.

    Raises:
        CheckpointError: names the part, and what it is instead.

    Example:
        >>> check_parts({"meta": {"iter": 3}, "state_dict": {}, "optimizer": []}, "iter_3.pth")
        Traceback (most recent call last):
        dense3d.errors.CheckpointError: iter_3.pth is damaged: its part optimizer is a list, not a dict
    """
    absent = [part for part in _NEEDED if part not in checkpoint]
    if absent:
        raise CheckpointError(f"{path} cannot be resumed from: it has no {absent[0]!r}")
    for name, kinds in _TYPES.items():
        value = _part(checkpoint, name)
        if value is not None:
            _check_type(value, kinds, name, path)
    for group in ("state_dict", "ema_state_dict", "dense3d.gradients"):
        for name, value in (_part(checkpoint, group) or {}).items():
            if not str(name).endswith("_extra_state") and name != "_metadata":
                _check_type(value, torch.Tensor, f"{group}[{name!r}]", path)
    states = _part(checkpoint, "param_schedulers") or []
    for part in states.values() if isinstance(states, Mapping) else [states]:
        for number, state in enumerate(_check_type(part, list, "param_schedulers", path)):
            _check_type(state, Mapping, f"param_schedulers[{number}]", path)


def _part(checkpoint: Mapping[str, Any], name: str) -> Any:
    value: Any = checkpoint
    for key in name.split("."):
        value = value.get(key)
        if value is None:
            return None
    return value


def _check_type(value: Any, kinds: type | tuple[type, ...], name: str, path: object) -> Any:
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, kinds) and not (isinstance(value, bool) and int in kinds):
        return value
    wanted = " or ".join("dict" if kind is Mapping else kind.__name__ for kind in kinds)
    raise CheckpointError(f"{path} is damaged: its part {name} is a {type(value).__name__}, not a {wanted}")


def newest_resumable(
    folders: Iterable[str | os.PathLike],
    warn: Callable[[str], None],
    check: Callable[[dict, Path], None] = check_parts,
) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint furthest in training that can be resumed from.

    Times of files say nothing: a copied folder may have one for all. Only what lies in the folders is looked
    at, wherever ``last_checkpoint`` there points.

    Args:
        folders: of the run.
        warn: told of damaged files, each with its fault.
        check: called with content and path of a candidate; raises CheckpointError for one to pass over.

    Returns:
        File and content, or ``None`` if there is none.

    Raises:
        CheckpointError: there are checkpoints and all of them are damaged.
    """
    damaged: list[Path] = []

    def passed_over(path: Path, error: Exception) -> None:
        warn(f"{error} (looking for an earlier one)")
        damaged.append(path)

    places: dict[Path, tuple] = {}
    for path in _files(folders):
        try:
            places[path] = _place(path)
        except CheckpointError as error:
            passed_over(path, error)
    for path in sorted((p for p, place in places.items() if place), key=places.__getitem__, reverse=True):
        try:
            checkpoint = load_checkpoint(path)
            check(checkpoint, path)
        except CheckpointError as error:
            passed_over(path, error)
            continue
        return path, checkpoint
    if damaged:
        raise CheckpointError(
            f"no checkpoint in {damaged[0].parent} can be resumed from, {len(damaged)} damaged: "
            f"{', '.join(p.name for p in damaged)}; delete them to start anew"
        )
    return None


def _files(folders: Iterable[str | os.PathLike]) -> list[Path]:
    """Checkpoint files; the best ones carry no optimizer."""
    found = {path for folder in map(Path, folders) if folder.is_dir() for path in folder.glob("*.pth")}
    return sorted(path for path in found if not path.name.startswith("best_") and not path.is_dir())


def _place(path: Path) -> tuple:
    """How far training was; empty for what is no checkpoint of a run, such as weights alone."""
    checkpoint = peek(path)
    if any(part not in checkpoint for part in (*_NEEDED, "optimizer")):
        return ()
    check_parts(checkpoint, path)
    progress = _part(checkpoint, "dense3d.progress") or checkpoint["meta"]
    place = (progress.get("iter", 0), progress.get("epoch", 0), bool(progress.get("validated")))
    return (*place, path.stat().st_mtime_ns)


def write_pointer(work_dir: str, checkpoint: str) -> None:
    """Name ``checkpoint`` in ``last_checkpoint``, where mmengine's tools look for it."""
    with atomic_write(Path(work_dir) / POINTER, "w") as file:
        file.write(str(checkpoint))


def read_pointer(work_dir: str | os.PathLike) -> Path | None:
    """The file that ``last_checkpoint`` names, if that can be read and the file is there."""
    try:
        text = (Path(work_dir) / POINTER).read_text(encoding="utf-8").strip()
        path = Path(text)
        return path if text and path.is_file() else None
    except (OSError, ValueError):
        return None
