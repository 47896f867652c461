"""Heavy packages that a few modules of mmdet, mmcv and timm import and seldom use: loaded at their first use.

``import mmdet.models`` brings scikit-learn for one tracker, ``import mmdet.datasets`` imgaug for one lane
transform, ``import timm`` wandb for one log writer: a third of the start of a training. Only the import
statements of the modules in :data:`SELDOM_USED` are answered otherwise; ``sys.modules`` and the imports of
everybody else are untouched.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

# module -> packages whose import is put off there
SELDOM_USED: dict[str, tuple[str, ...]] = {
    "mmcv.image.io": ("tifffile",),
    "mmdet.datasets.transforms.generate_line": ("imgaug", "scipy"),
    "mmdet.datasets.transforms.transforms": ("albumentations", "imagecorruptions"),
    "mmdet.evaluation.metrics.crowdhuman_metric": ("scipy",),
    "mmdet.evaluation.metrics.culane_metric": ("scipy", "shapely"),
    "mmdet.models.dense_heads.clr_head.clr_head": ("matplotlib",),
    "mmdet.models.dense_heads.clr_head.lane": ("scipy",),
    "mmdet.models.dense_heads.paa_head": ("sklearn",),
    "mmdet.models.task_modules.tracking.interpolation": ("sklearn",),
    "mmdet.utils.mot_error_visualize": ("matplotlib",),
    "mmdet.visualization.local_visualizer": ("matplotlib",),
    "mmengine.utils.dl_utils.collect_env": ("distutils",),
    "timm.utils.summary": ("wandb",),
}


class Deferred:
    """A module, class or function named by its dotted path, imported when it is called or looked into."""

    def __init__(self, path: str):
        self._path = path

    def _resolve(self) -> Any:
        return pkgutil.resolve_name(self._path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._resolve(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._resolve()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._resolve())

    def __mro_entries__(self, bases: tuple) -> tuple[type]:
        return (self._resolve(),)


@contextlib.contextmanager
def deferring(module: str) -> Iterator[None]:
    """Answer the import statements of ``module``, which is about to run, with :class:`Deferred` objects.

    A module that is loaded already is used as it is; one that is not installed is missed at once, as ever.
    """

    def answer(name: str, globals=None, locals=None, fromlist: tuple = (), level: int = 0) -> Any:
        package = name.partition(".")[0]
        if level or package not in SELDOM_USED[module] or name in sys.modules or not _installed(package):
            return builtins.__import__(name, globals, locals, fromlist, level)
        return _deferred(name, fromlist)

    # Only code of this module looks its built-in functions up here.
    vars(sys.modules[module])["__builtins__"] = {**vars(builtins), "__import__": answer}
    yield


def _installed(package: str) -> bool:
    return package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None


def _deferred(name: str, fromlist: tuple) -> Deferred:
    """What ``import a.b as c`` and ``from a.b import c`` get, with the attributes that they ask it for."""
    if fromlist:
        module = Deferred(name)
        vars(module).update({entry: Deferred(f"{name}.{entry}") for entry in fromlist})
        return module
    package, *parts = name.split(".")
    top = module = Deferred(package)
    for part in parts:
        below = Deferred(f"{module._path}.{part}")
        vars(module)[part] = below
        module = below
    return top
