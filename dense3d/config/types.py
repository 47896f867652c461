"""Looking up type names in the registries of dense3d, mmengine, mmdet and mmseg without building anything."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from mmengine.registry import Registry, root

from dense3d.errors import did_you_mean
from dense3d.registry import LazyRegistry

SCOPES = ("dense3d", "mmdet", "mmseg")
# The kind of object that a key of the config holds; elsewhere every registry is searched.
KIND_OF_KEY = {
    "dataset": "DATASETS",
    "datasets": "DATASETS",
    "pipeline": "TRANSFORMS",
    "transforms": "TRANSFORMS",
    "sampler": "DATA_SAMPLERS",
    "batch_sampler": "DATA_SAMPLERS",
    "optimizer": "OPTIMIZERS",
    "param_scheduler": "PARAM_SCHEDULERS",
    "default_hooks": "HOOKS",
    "custom_hooks": "HOOKS",
    "val_evaluator": "METRICS",
    "test_evaluator": "METRICS",
    "train_cfg": "LOOPS",
    "val_cfg": "LOOPS",
    "test_cfg": "LOOPS",
    "visualizer": "VISUALIZERS",
    "vis_backends": "VISBACKENDS",
    "model": "MODELS",
    "backbone": "MODELS",
    "neck": "MODELS",
}
# mmengine's root registries have no locations: these modules fill them.
_ROOT_MODULES = (
    "dense3d.registry",
    "mmengine.dataset",
    "mmengine.evaluator",
    "mmengine.hooks",
    "mmengine.model",
    "mmengine.optim",
    "mmengine.runner",
    "mmengine.visualization",
    "mmcv.cnn",
    "mmcv.transforms",
)
_KINDS = tuple(name for name in dir(root) if isinstance(getattr(root, name), Registry))


def find_type(name: str, scope: str, kind: str | None) -> Any | None:
    """The class or function that ``name`` means in ``scope``, or None.

    The registry of the likely kind is asked before the others, so that as little as possible of a
    library is imported.
    """
    prefix, dot, rest = name.partition(".")
    if dot and prefix in ("mmengine", *SCOPES) and "." not in rest:
        scope, name = prefix, rest
    elif dot:
        return _import_object(name)
    likely = (kind,) if kind in _KINDS else ()
    for candidates in (likely, _KINDS):
        for registry in _registries(scope, candidates):
            own = registry.own if isinstance(registry, LazyRegistry) else registry.module_dict.get
            found = own(name)
            if found is not None:
                return found
    return _mmcv_operator(name)


def suggest(name: str, scope: str, kind: str | None) -> str:
    """What to write instead of an unknown name: a missing package, or the nearest names of all libraries.

    Names are given as a dict of ``scope`` must write them: ``mmdet.DETR`` where mmdet's are not in view.
    """
    prefix, dot, plain = name.rpartition(".")
    package = prefix.partition(".")[0]
    is_package = dot and package.isidentifier() and package not in SCOPES
    if is_package and importlib.util.find_spec(package) is None:
        return f"; the package {package!r} is not installed"
    kinds = (kind,) if kind in _KINDS else _KINDS
    spellings: dict[str, str] = {}
    for home in dict.fromkeys((scope, *SCOPES)):
        for entry in (entry for registry in _registries(home, kinds) for entry in _names(registry)):
            plainly = home == scope and package != home
            spellings.setdefault(entry, entry if plainly else f"{home}.{entry}")
    hint = did_you_mean(plain, spellings, limit=2)
    for entry, spelling in spellings.items():
        hint = hint.replace(repr(entry), repr(spelling))
    return hint or f"; no registered name of {', '.join(SCOPES)} resembles it"


def _registries(scope: str, kinds: tuple[str, ...]) -> Iterator[Registry]:
    """What ``scope`` sees of each kind: its own registry, which comes first, and the root's."""
    _fill_roots()
    for kind in kinds:
        child = _child(scope, kind)
        if child is not None:
            yield child
        yield getattr(root, kind)


def _names(registry: Registry) -> Iterable[str]:
    return registry.names() if isinstance(registry, LazyRegistry) else registry.module_dict


def _child(scope: str, kind: str) -> Registry | None:
    if scope == "mmengine":
        return None
    try:
        importlib.import_module(f"{scope}.registry")
    except ModuleNotFoundError:
        return None
    child = getattr(root, kind)._search_child(scope)
    if child is not None:
        child.import_from_location()
    return child


@lru_cache(maxsize=1)
def _fill_roots() -> None:
    for module in _ROOT_MODULES:
        importlib.import_module(module)


def _import_object(name: str) -> Any | None:
    """``package.module.Name``, as configs dumped by mmengine write classes."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return None


def _mmcv_operator(name: str) -> Any | None:
    """Some dicts name a function or module of ``mmcv.ops`` (``nms``, ``RoIAlign``) that no registry holds."""
    return getattr(importlib.import_module("mmcv.ops"), name, None)
