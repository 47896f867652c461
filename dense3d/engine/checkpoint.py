"""Checkpoint files: read with ``weights_only=True``, written whole or not at all.

:func:`load_checkpoint` reads, :func:`save_checkpoint` writes, :func:`load_into` puts weights into a model
(:mod:`dense3d.engine.differences` words what does not fit). :func:`harden_mmengine` makes mmengine's own
loader, which also serves ``init_cfg=dict(type="Pretrained")``, read by the same rule.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint

from dense3d.engine.differences import load_into
from dense3d.errors import CheckpointError
from dense3d.files import DiskFullError, atomic_write

__all__ = ["harden_mmengine", "load_checkpoint", "load_into", "read", "save_checkpoint", "weights_of"]

OPT_IN = "DENSE3D_UNSAFE_CHECKPOINTS"
_REFUSED = re.compile(r"[Uu]nsupported (global|class)|blocked|Can only|Trying to (call|load)|not allowed")
_STATISTICS = ("min", "max", "mean", "current", "statistics")


def load_checkpoint(
    path: str | os.PathLike, map_location: Any = "cpu", weights_only: bool = True
) -> dict[str, Any]:
    """Read a checkpoint file.

    Args:
        path: file, or an address that mmengine knows (``https://``, ``torchvision://``, ``open-mmlab://``).
        map_location: as for ``torch.load``.
        weights_only: ``False`` lets the file run code of its author; the environment variable
            ``DENSE3D_UNSAFE_CHECKPOINTS=1`` does so for all files.

    Returns:
        The checkpoint; a file that holds nothing but named tensors comes back as ``{"state_dict": ...}``.

    Raises:
        CheckpointError: the file is missing, empty, truncated, no checkpoint, or needs more than plain
            data and was not opted in.
    """
    if "://" in str(path):
        checkpoint = mmengine_checkpoint.CheckpointLoader.load_checkpoint(str(path), map_location)
    else:
        checkpoint = read(existing_file(path), map_location, weights_only)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f"{path} holds a {type(checkpoint).__name__}, not a checkpoint (a dict of tensors)"
        )
    if "state_dict" not in checkpoint and all(isinstance(v, torch.Tensor) for v in checkpoint.values()):
        checkpoint = {"state_dict": checkpoint}
    return checkpoint


def peek(path: str | os.PathLike) -> dict[str, Any]:
    """What :func:`load_checkpoint` gives, with tensors that are read from the file only where they are used.

    Raises:
        CheckpointError: as there; the checksums of the file's parts are not looked at.
    """
    checkpoint = read(existing_file(path), "cpu", True, mmap=True)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint


def weights_of(checkpoint: Mapping, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The model's part of a checkpoint, without the prefix ``module.`` of parallel wrappers.

    Raises:
        CheckpointError: there is no ``state_dict``.
    """
    if "state_dict" not in checkpoint:
        raise CheckpointError(
            f"{path} has no 'state_dict' but {', '.join(map(repr, list(checkpoint)[:8]))}; "
            "an official checkpoint of another code base is converted with dense3d convert"
        )
    state_dict = checkpoint["state_dict"]
    for name, part in (("state_dict", state_dict), ("meta", checkpoint.get("meta") or {})):
        if not isinstance(part, Mapping) or not all(isinstance(key, str) for key in part):
            raise CheckpointError(
                f"{path} is damaged: its {name!r} is a {type(part).__name__}, not a dict with names"
            )
    weights = OrderedDict((re.sub(r"^module\.", "", name), tensor) for name, tensor in state_dict.items())
    # Versions of the modules that wrote the weights; modules that renamed something look at them.
    weights._metadata = getattr(state_dict, "_metadata", OrderedDict())
    return weights


def adapted(model: torch.nn.Module, checkpoint: dict[str, Any], path: object) -> dict[str, Any]:
    """A checkpoint as a model can load it: one with ``adapt_checkpoint`` knows official files too."""
    adapt = getattr(model, "adapt_checkpoint", None)
    return checkpoint if adapt is None else adapt(checkpoint, path)


def dataset_meta_of(checkpoint: Mapping | None) -> dict[str, Any]:
    """What a checkpoint says of its data set (``classes``, ...); empty where it says nothing readable.

    Example:
        >>> dataset_meta_of({"meta": {"dataset_meta": {"classes": ["a"]}}}), dataset_meta_of({"meta": None})
        ({'classes': ['a']}, {})
    """
    meta = (checkpoint or {}).get("meta")
    found = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def save_checkpoint(checkpoint: Mapping, path: str | os.PathLike) -> None:
    """Write ``checkpoint`` to ``path``, which keeps its old content until the new one is safely on disk.

    Raises:
        CheckpointError: the disk is full; no partial file is left.
    """
    try:
        with atomic_write(path) as file:
            torch.save(dict(checkpoint), file)
    except DiskFullError as error:
        raise CheckpointError(
            f"no space is left on the disk for the checkpoint {path}; earlier checkpoints are unchanged: "
            "free some space and go on with --resume"
        ) from error


def existing_file(path: str | os.PathLike) -> Path:
    """The path of a checkpoint file, as far as that can be told without reading it.

    Raises:
        CheckpointError: it is missing, a folder, a dangling link or empty.
    """
    path = Path(path).expanduser()
    if path.is_symlink() and not path.exists():
        raise CheckpointError(f"the checkpoint {path} is a link to {path.readlink()}, which does not exist")
    if path.is_dir():
        raise CheckpointError(f"the checkpoint {path} is a folder; name a file in it")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.pth"))[:5] if path.parent.is_dir() else []
        hint = f"; that folder has {', '.join(near)}" if near else ""
        raise CheckpointError(f"the checkpoint {path} does not exist{hint}")
    if path.stat().st_size == 0:
        raise CheckpointError(f"the checkpoint {path} is empty (0 bytes); it was cut off while being written")
    return path


def look_for(path: str | os.PathLike) -> None:
    """See that a checkpoint is there before anything that takes time; addresses are not looked up.

    Raises:
        CheckpointError: see :func:`existing_file`.
    """
    if "://" not in str(path):
        existing_file(path)


def read(
    file: Path | str | IO[bytes],
    map_location: Any = None,
    weights_only: bool | None = None,
    mmap: bool = False,
) -> Any:
    """``torch.load`` that builds nothing but plain data unless that is asked for in so many words.

    torch does not compare the checksums of an archive's parts; here that is done first, but with ``mmap``,
    which leaves tensors in the file.

    Raises:
        CheckpointError: the file is damaged, or it is refused; the message names what it wanted to run.
    """
    name = file if isinstance(file, (str, Path)) else getattr(file, "name", "the checkpoint")
    if not mmap:
        _compare_checksums(file, name)
    if weights_only is False or os.environ.get(OPT_IN) == "1":
        return torch.load(file, map_location=map_location, weights_only=False)
    try:
        with torch.serialization.safe_globals(harmless_globals()):
            mmap = mmap and zipfile.is_zipfile(file)
            return torch.load(file, map_location=map_location, weights_only=True, mmap=mmap or None)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        if not _REFUSED.search(str(error)):
            raise _damaged(name, error) from error
        wanted = ", ".join(_wanted(file, error))
        raise CheckpointError(
            f"{name} was refused: to load it, Python would have to build {wanted}, and such a file can run "
            f"any code; if you trust its author, set {OPT_IN}=1 (or pass weights_only=False)"
        ) from error
    except AttributeError as error:
        raise CheckpointError(f"{name} was refused: {error}") from error
    except Exception as error:
        raise _damaged(name, error) from error


def _compare_checksums(file: Path | str | IO[bytes], name: object) -> None:
    """Find parts of an archive that have changed since: 0.3 s for 500 MB, where loading takes 0.6 s.

    Archives that were saved without checksums (all are 0 then) and files of torch's older format have none.
    """
    is_stream = not isinstance(file, (str, Path))
    start = file.tell() if is_stream else 0
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            part = archive.testzip() if any(info.CRC for info in archive.infolist()) else None
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise _damaged(name, error) from error
    finally:
        if is_stream:
            file.seek(start)
    if part is not None:
        raise CheckpointError(
            f"{name} is damaged: its part {part} does not have the checksum it was written with, so bytes "
            "have changed since; copy it again or use an earlier one"
        )


def _damaged(name: object, error: Exception) -> CheckpointError:
    # torch answers a cut archive with "[Errno 22] Invalid argument", which helps nobody.
    text = "" if isinstance(error, OSError) else str(error)
    detail = re.search(r"WeightsUnpickler error: (.*)", text)
    reason = detail.group(1) if detail else text.split("\n")[0][:120]
    if not re.search("[A-Za-z]", reason):  # such as a KeyError's opcode
        reason = (
            "it ends too early" if isinstance(error, OSError) else "its content is none that torch writes"
        )
    return CheckpointError(
        f"{name} is damaged or no checkpoint ({reason}); it may have been cut off while being copied: "
        "copy it again or use an earlier one"
    )


def _wanted(file: Path | str | IO[bytes], error: Exception) -> list[str]:
    """Names of the classes and functions that the file needs, all of them where torch can list them."""
    try:
        if isinstance(file, io.IOBase):
            file.seek(0)
        with torch.serialization.safe_globals(harmless_globals()):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:
        names = []
    if not names:
        match = re.search(r"GLOBAL (\S+)", str(error))
        names = [match.group(1)] if match else ["objects that are not plain data"]
    names = sorted(names)
    return names[:5] + ([f"and {len(names) - 5} more"] if len(names) > 5 else [])


def _read_for_mmengine(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
    return read(file, map_location, weights_only)


def _load_url(url: str, model_dir: str | None = None, map_location: Any = None, **options: Any) -> Any:
    """Download as torch.hub does and read by our rule."""
    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    file = folder / (options.pop("file_name", None) or Path(url.split("?")[0]).name)
    if not file.exists():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise CheckpointError(
                f"{url} cannot be downloaded, since the folder {folder} cannot be written: set TORCH_HOME to "
                "one that can, or name a local file"
            )
        torch.hub.download_url_to_file(url, str(file), progress=options.get("progress", True))
    return read(file, map_location)


def harden_mmengine() -> None:
    """Close mmengine's silent fall-back to ``weights_only=False``, for files and for downloads."""
    mmengine_checkpoint._safe_torch_load = _read_for_mmengine
    mmengine_checkpoint.load_url = _load_url


def _method_of_history_buffer(owner: object, name: str) -> Callable:
    if owner is HistoryBuffer and name in _STATISTICS:
        return getattr(HistoryBuffer, name)
    raise AttributeError(f"a checkpoint asked for the attribute {name!r} of {owner!r}, which is not allowed")


def harmless_globals() -> list[Callable]:
    """Entries for ``torch.serialization.safe_globals``."""
    # a Namespace holds the options of official training commands
    entries: list = [HistoryBuffer, slice, np.ndarray, np.dtype, argparse.Namespace]
    entries.append(_alias(_method_of_history_buffer, "builtins", "getattr"))
    # Both names of NumPy's module occur in files: numpy.core (1.x) and numpy._core (2.x).
    multiarray = _numpy_core().multiarray
    for core in ("numpy.core", "numpy._core"):
        for name in ("_reconstruct", "scalar"):
            entries.append(_alias(getattr(multiarray, name), f"{core}.multiarray", name))
    kinds = "bool uint8 int8 int16 int32 uint32 int64 uint64 float16 float32 float64 U1 S1"
    entries += [type(np.dtype(kind)) for kind in kinds.split()]
    return entries


def _alias(function: Callable, module: str, name: str) -> Callable:
    """``function`` under the name by which a file asks for it."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__qualname__, alias.__name__ = module, name, name
    return alias


def _numpy_core() -> ModuleType:
    """The module that holds ``multiarray``, whatever this NumPy calls it."""
    return np._core if hasattr(np, "_core") else np.core
