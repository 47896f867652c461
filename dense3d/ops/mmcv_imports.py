"""Makes ``import mmcv.ops``, ``mmdet.models`` and ``mmseg.models`` work where mmcv has no compiled extension.

One finder on ``sys.meta_path`` looks at a handful of module names and at nothing else:

* ``mmcv._ext``: a compiled extension that loads is used as it is; where there is none, or one
  that another torch was needed for, :mod:`dense3d.ops.mmcv_extension` stands in for it.
* modules of ``mmcv.ops`` with autograd functions: :mod:`dense3d.ops.mmcv_wrappers` exchanges those.
* ``mmdet.datasets`` and ``mmseg.datasets``: their "Could not import OneDL" lines are not printed.
* ``mmdet.models``: an ``mmpretrain`` that cannot be imported is named once, and mmdet goes on without it.
* modules that import a heavy package and seldom use it: :mod:`dense3d.deferred_imports` puts that off.
* their Hungarian assigners: a cost that is NaN goes on to the loss instead of ending in scipy's ValueError.

Nothing of torch or mmcv is imported before one of these modules is really asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from types import ModuleType

from dense3d.deferred_imports import SELDOM_USED, deferring
from dense3d.ops import mmcv_wrappers

EXTENSION = "mmcv._ext"


def install_mmcv_extension() -> None:
    """Have ``mmcv._ext`` importable from now on; cheap, and idempotent.

    A compiled extension that can be loaded is never replaced. :func:`mmcv_extension_state` says
    afterwards which one is in use.

    Example:
        >>> install_mmcv_extension()
        >>> import importlib.util
        >>> importlib.util.find_spec("mmcv._ext") is not None
        True
    """
    if not any(isinstance(finder, MmcvFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MmcvFinder())


def mmcv_extension_state() -> str:
    """One sentence for people: which ``mmcv._ext`` serves this process, and why."""
    module = importlib.import_module(EXTENSION)
    reason = getattr(module, "stand_in_reason", None)
    if reason is None:
        return f"mmcv's compiled extension at {module.__file__}"
    return f"dense3d's stand-in, because {reason}"


class MmcvFinder:
    """Meta path finder for ``mmcv._ext`` and for the modules in :data:`IMPORT_HOOKS`."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname == EXTENSION:
            compiled = self._find_elsewhere(fullname, path, target)
            origin = compiled.origin if compiled is not None else "dense3d.ops.mmcv_extension"
            return ModuleSpec(fullname, ExtensionLoader(compiled), origin=origin)
        hook = IMPORT_HOOKS.get(fullname)
        spec = self._find_elsewhere(fullname, path, target) if hook is not None else None
        if spec is not None and spec.loader is not None:
            spec.loader = HookedLoader(spec.loader, hook)
        return spec

    def _find_elsewhere(self, fullname: str, path, target) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if isinstance(finder, MmcvFinder) or find_spec is None:
                continue
            spec = find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


class ExtensionLoader:
    """Loads the compiled extension, or the stand-in when that fails or does not exist."""

    def __init__(self, compiled: ModuleSpec | None):
        self.compiled = compiled

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if self.compiled is None:
            return _stand_in("the installed mmcv has no compiled extension")
        try:
            importlib.import_module("torch")  # the extension links torch's libraries
            module = importlib.util.module_from_spec(self.compiled)
            self.compiled.loader.exec_module(module)
        except (ImportError, OSError) as error:
            return _stand_in(f"mmcv's compiled extension cannot be loaded ({error})")
        return module

    def exec_module(self, module: ModuleType) -> None:
        if getattr(module, "stand_in_reason", None) is None:
            module.__spec__, module.__loader__ = self.compiled, self.compiled.loader


def _stand_in(reason: str) -> ModuleType:
    """A module whose operators are looked up in :mod:`dense3d.ops.mmcv_extension` when asked for."""
    module = ModuleType(EXTENSION, "dense3d's stand-in for mmcv's compiled extension")
    module.stand_in_reason = reason

    def operator(name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(f"module {EXTENSION!r} has no attribute {name!r}")
        return importlib.import_module("dense3d.ops.mmcv_extension").operator(name)

    module.__getattr__ = operator
    return module


class HookedLoader:
    """Runs a module's own loader inside a context; everything else is the module's own loader."""

    def __init__(self, loader, hook: Callable[[str], AbstractContextManager]):
        self.loader, self.hook = loader, hook

    def __getattr__(self, name: str):
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader
        with self.hook(module.__name__):
            self.loader.exec_module(module)


@contextlib.contextmanager
def _without_onedl_lines(_name: str) -> Iterator[None]:
    """Drop the forks' "Could not import OneDL" lines while one of their packages is imported.

    They go through ``mmengine.logging.print_log`` without a logger, which ends in ``print``
    whatever the level; only that module's ``print`` is exchanged, and only for the import.
    """
    logger = importlib.import_module("mmengine.logging.logger")

    def selective_print(*args, **kwargs) -> None:
        if not (args and str(args[0]).startswith("Could not import OneDL")):
            print(*args, **kwargs)

    outer = vars(logger).get("print")
    logger.print = selective_print
    try:
        yield
    finally:
        if outer is None:
            del logger.print
        else:
            logger.print = outer


@contextlib.contextmanager
def _corrected_wrapper(name: str) -> Iterator[None]:
    """Correct a wrapper of ``mmcv.ops`` right after it was imported."""
    yield
    mmcv_wrappers.correct(sys.modules[name])


@contextlib.contextmanager
def _without_broken_mmpretrain(_name: str) -> Iterator[None]:
    """Hide an mmpretrain that cannot be imported, so that mmdet takes its way without it, and say so.

    mmdet guards its import against ImportError only, and onedl-mmpretrain next to a current transformers
    fails with a TypeError, which would take all of ``mmdet.models`` down.
    """
    if sys.modules.get("mmpretrain", ...) is ... and importlib.util.find_spec("mmpretrain") is not None:
        try:
            importlib.import_module("mmpretrain.models")
        except Exception as error:
            for module in [m for m in sys.modules if m.split(".")[0] == "mmpretrain"]:
                del sys.modules[module]
            sys.modules["mmpretrain"] = None
            warnings.warn(_mmpretrain_sentence(error), stacklevel=2)
    yield


def _mmpretrain_sentence(error: Exception) -> str:
    versions = []
    for package in ("onedl-mmpretrain", "mmpretrain", "transformers"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return (
        f"mmpretrain is installed ({', '.join(versions) or 'version unknown'}) but cannot be imported "
        f"({type(error).__name__}: {error}); mmdet goes on without it, only its ReID models and configs that "
        f"name mmpretrain types need it: pip uninstall onedl-mmpretrain, or install an older transformers"
    )


@contextlib.contextmanager
def _with_guarded_assignment(name: str) -> Iterator[None]:
    """Give a Hungarian assigner :func:`dense3d.ops.linear_sum_assignment` right after it was imported."""
    yield
    guarded = importlib.import_module("dense3d.ops.assignment").linear_sum_assignment
    sys.modules[name].linear_sum_assignment = guarded


IMPORT_HOOKS: dict[str, Callable[[str], AbstractContextManager]] = {
    "mmdet.datasets": _without_onedl_lines,
    "mmdet.datasets.transforms": _without_onedl_lines,
    "mmseg.datasets": _without_onedl_lines,
    "mmseg.datasets.transforms": _without_onedl_lines,
    "mmdet.models": _without_broken_mmpretrain,
    "mmdet.models.task_modules.assigners.hungarian_assigner": _with_guarded_assignment,
    "mmdet.models.task_modules.assigners.topk_hungarian_assigner": _with_guarded_assignment,
    "mmseg.models.assigners.hungarian_assigner": _with_guarded_assignment,
    **dict.fromkeys(mmcv_wrappers.CORRECTIONS, _corrected_wrapper),
    **dict.fromkeys(SELDOM_USED, deferring),
}
