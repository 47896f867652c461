"""Every registry of dense3d: children of mmengine's roots, scope ``dense3d``.

Names in a config resolve like this: ``type="X"`` is dense3d's X, else mmengine's or mmcv's;
``type="mmdet.X"`` and ``type="mmseg.X"`` name the other libraries, and inside such a dict
a name without a prefix is that library's (:func:`dense3d.config.load_config` marks it); ours are
written ``dense3d.X`` there. A name that is asked for imports the module that registers it, and no other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from mmengine import registry as root
from mmengine.registry import Registry

from dense3d.cache_folders import prepare_cache_folders
from dense3d.errors import ConfigError
from dense3d.name_index import Registration, modules_below, registrations
from dense3d.ops import install_mmcv_extension

SCOPE = "dense3d"

prepare_cache_folders()

# mmcv.ops and mmdet.models import a compiled extension that the mmcv wheel does not carry.
install_mmcv_extension()


class LazyRegistry(Registry):
    """mmengine's registry, which knows the names of dense3d's modules before it imports them.

    Args:
        variable: its name in this module, such as ``"MODELS"``: what the modules import it by.
        description: for messages.
    """

    def __init__(self, variable: str, description: str):
        super().__init__(description, parent=getattr(root, variable), scope=SCOPE)
        self.variable = variable
        self._imported = True  # there are no locations that mmengine would import as a whole

    def get(self, key: str) -> type | None:
        """What is registered as ``key``, here or in mmengine's root; as in mmengine."""
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            self.own(name)
        return super().get(key)

    def own(self, name: str) -> type | None:
        """What dense3d itself registers as ``name``; imports the module that does."""
        if name not in self.module_dict and name in self.index:
            importlib.import_module(self.index[name])
        return self.module_dict.get(name)

    @property
    def index(self) -> dict[str, str]:
        """Names to the modules that register them; nothing is imported."""
        return _index().get(self.variable, {})

    def names(self) -> list[str]:
        """All names, sorted; nothing is imported."""
        return sorted({*self.module_dict, *self.index})

    def import_all(self) -> dict[str, type]:
        """Import every module with a name of this registry; names and what they stand for."""
        for module in sorted(set(self.index.values())):
            importlib.import_module(module)
        return self.module_dict


@lru_cache(maxsize=1)
def _index() -> dict[str, dict[str, str]]:
    """Variable of a registry to its names, and each name to its module."""
    importlib.import_module("dense3d.engine")  # what is built may read a checkpoint: by our safe loader
    index: dict[str, dict[str, str]] = {}
    for module, file in modules_below(Path(__file__).parent, SCOPE):
        _add(index, module, registrations(file.read_text(encoding="utf-8")))
    return index


def add_modules(folder: Path, package: str, make_importable: Callable[[], None]) -> bool:
    """Have the names found that the modules of another package register.

    A module that registers in a registry of mmengine, mmdet or mmseg is imported at once, because those know
    only what is imported.

    Args:
        folder: of the package.
        package: name that the folder is imported as.
        make_importable: called once, before the first of its modules is needed.

    Returns:
        Whether there are such modules.

    Raises:
        ConfigError: a name is taken already.
    """
    found = [
        (module, registrations(file.read_text(encoding="utf-8")))
        for module, file in modules_below(folder, package)
    ]
    found = [(module, entries) for module, entries in found if entries]
    if found:
        make_importable()
    for module, entries in found:
        replaced = _add(_index(), module, entries)
        if replaced or any(entry.home != __name__ for entry in entries):
            for name in (*replaced, module):
                importlib.import_module(name)
    return bool(found)


def _add(index: dict[str, dict[str, str]], module: str, entries: list[Registration]) -> list[str]:
    """Enter the names of a module; the modules whose names it takes over by ``force=True``."""
    replaced = []
    for entry in (entry for entry in entries if entry.home == __name__):
        names = index.setdefault(entry.registry, {})
        other = names.get(entry.name, module)
        if other != module and not entry.force:
            raise ConfigError(
                f"{entry.name!r} is registered by {other} and by {module}; rename one of the two, "
                "or write force=True where the other one is to be replaced"
            )
        replaced += [other] if other != module else []
        names[entry.name] = module
    return replaced


MODELS = LazyRegistry("MODELS", "model")
DATASETS = LazyRegistry("DATASETS", "dataset")
DATA_SAMPLERS = LazyRegistry("DATA_SAMPLERS", "data sampler")
TRANSFORMS = LazyRegistry("TRANSFORMS", "transform")
METRICS = LazyRegistry("METRICS", "metric")
EVALUATOR = LazyRegistry("EVALUATOR", "evaluator")
HOOKS = LazyRegistry("HOOKS", "hook")
LOOPS = LazyRegistry("LOOPS", "loop")
RUNNERS = LazyRegistry("RUNNERS", "runner")
LOG_PROCESSORS = LazyRegistry("LOG_PROCESSORS", "log processor")
OPTIMIZERS = LazyRegistry("OPTIMIZERS", "optimizer")
OPTIM_WRAPPERS = LazyRegistry("OPTIM_WRAPPERS", "optimizer wrapper")
OPTIM_WRAPPER_CONSTRUCTORS = LazyRegistry("OPTIM_WRAPPER_CONSTRUCTORS", "optimizer wrapper constructor")
WEIGHT_INITIALIZERS = LazyRegistry("WEIGHT_INITIALIZERS", "weight initializer")
MODEL_WRAPPERS = LazyRegistry("MODEL_WRAPPERS", "model wrapper")
PARAM_SCHEDULERS = LazyRegistry("PARAM_SCHEDULERS", "parameter scheduler")
TASK_UTILS = LazyRegistry("TASK_UTILS", "task util")
VISUALIZERS = LazyRegistry("VISUALIZERS", "visualizer")
VISBACKENDS = LazyRegistry("VISBACKENDS", "visualizer backend")
