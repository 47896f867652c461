"""The installation as a bug report needs it; a library that does not import is a line, not an error."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dense3d
from dense3d.optional import EXTRAS, require

LIBRARIES = (
    "torch", "torchvision", "mmengine", "mmcv", "mmdet", "mmseg", "timm", "kornia", "numba", "numpy", "scipy",
    "cv2", "pycocotools", "embreex",
)  # fmt: skip
# Variables that change what runs where.
VARIABLES = ("DENSE3D_", "CUDA_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_", "PYTORCH_")


def describe_environment() -> Iterator[str]:
    """Sections of text, each as soon as it is known; importing the libraries takes seconds."""
    for title, lines in (
        ("dense3d", _own_lines),
        ("libraries", _library_lines),
        ("devices", _device_lines),
        ("extras", _extra_lines),
        ("operators", _operator_lines),
    ):
        yield "\n".join([f"{title}:", *(f"  {line}" for line in _lines(lines))])


def _lines(section: Callable[[], list[str]]) -> list[str]:
    try:
        return section()
    except Exception as error:  # whatever is broken: the report has to say the rest all the same
        return [f"unknown: {_first_line(error)}"]


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _own_lines() -> list[str]:
    folder = Path(dense3d.__file__).resolve().parent
    variables = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)]
    return [
        f"{dense3d.__version__} in {folder}{_commit(folder.parent)}",
        f"Python {platform.python_version()}, {platform.platform()}",
        *variables,
    ]


def _commit(checkout: Path) -> str:
    """``", commit 1234abc"`` with a word on changed files, or nothing where there is no checkout."""
    if not (checkout / ".git").exists():
        return ""
    try:
        git = ["git", "-C", str(checkout)]
        head = subprocess.check_output(
            [*git, "rev-parse", "--short", "HEAD"], text=True, stderr=subprocess.DEVNULL
        )
        changed = subprocess.check_output([*git, "status", "--porcelain", "-uno"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ", commit unknown"
    return f", commit {head.strip()}{' and changes' if changed else ''}"


def _library_lines() -> list[str]:
    providers = importlib.metadata.packages_distributions()
    return [f"{name:12} {_library(name, providers.get(name, []))}" for name in LIBRARIES]


def _library(name: str, providers: list[str], extra: str = "") -> str:
    """Version of a library and the distributions that it comes from, or why it does not import."""
    if importlib.util.find_spec(name) is None:
        return f"not installed: pip install 'dense3d[{extra}]'" if extra else "not installed"
    provided = [f"{d} {importlib.metadata.version(d)}" for d in dict.fromkeys(providers)]
    origin = f" from {', '.join(provided)}" if provided else ""
    try:
        module = require(name)
    except Exception as error:  # also what a library raises about versions of others
        return f"does not import{origin}: {_first_line(error)}"
    return f"{getattr(module, '__version__', 'present')}{origin}"


def _device_lines() -> list[str]:
    import torch

    lines = [f"CPU: {os.cpu_count()} cores, {torch.get_num_threads()} threads in torch, {platform.machine()}"]
    if not torch.cuda.is_available():
        return [*lines, f"no CUDA device (torch was built {_toolkit(torch.version.cuda)})"]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = f"{gpu.total_memory / 2**30:.0f} GiB"
        lines.append(f"cuda:{index}: {gpu.name}, {memory}, capability {gpu.major}.{gpu.minor}")
    return [*lines, f"torch was built {_toolkit(torch.version.cuda)}"]


def _toolkit(version: str | None) -> str:
    return f"with CUDA {version}" if version else "without CUDA"


def _extra_lines() -> list[str]:
    providers = importlib.metadata.packages_distributions()
    return [
        f"{extra:11} {package:11} {_library(package, providers.get(package, []), extra)}"
        for package, extra in EXTRAS.items()
    ]


def _operator_lines() -> list[str]:
    from dense3d.ops.dispatch import BackendTable, backends

    return str(BackendTable(backends())).splitlines()
