"""Keys of ``train_cfg`` and ``test_cfg``: what the classes of a model read of dicts of such names.

mmdet and mmseg hand these two dicts through their heads under many names (``cfg``, ``rcnn_test_cfg``,
``proposal_cfg``), level by level. So one set of keys stands for all levels: what any class of the model, or a
function beside one, reads of a variable or attribute that is called cfg. A class may also announce its
``test_cfg_keys``.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from dense3d.config.syntax import Code, code_of, lineage, methods, parameters

NAMES = ("train_cfg", "test_cfg")
# mmdet's and mmseg's own configs write these also where the head does not look at them.
UNREAD = frozenset({"allowed_border", "assigner", "debug", "pos_weight", "sampler", "score_voting"})
_IS_CFG = re.compile(r"(^|_)cfgs?_?$")
_READERS = ("get", "pop", "setdefault")


def keys_read(classes: Iterable[type]) -> frozenset[str]:
    """Every key that the classes, their bases and the functions of their modules read of a ``*cfg``."""
    keys = set(UNREAD)
    for cls in classes:
        if inspect.isclass(cls):
            keys |= _keys_of_class(cls)
            keys |= cls.test_cfg_keys() if hasattr(cls, "test_cfg_keys") else set()
    return frozenset(keys)


@cache
def _keys_of_class(cls: type) -> frozenset[str]:
    codes = [code_of(function) for _, function in methods(cls)]
    modules = {base.__module__ for base in lineage(cls)}
    for name in modules:
        codes += map(code_of, _functions_seen(name))
    return frozenset(key for code in codes if code is not None for key in _keys_of(code))


@cache
def _functions_seen(module: str) -> tuple[Any, ...]:
    """Functions that a module defines or imports from its own library, and those beside them."""
    library = module.partition(".")[0]
    seen = [f for f in vars(sys.modules[module]).values() if inspect.isfunction(f)]
    homes = {module, *(f.__module__ for f in seen if f.__module__.partition(".")[0] == library)}
    return tuple(f for home in homes for f in vars(sys.modules[home]).values() if inspect.isfunction(f))


@cache
def _keys_of(code: Code) -> frozenset[str]:
    keys = set()
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Attribute) and _is_cfg(node.value):
            keys.add(node.attr)
            call = code.parents.get(node)
            if node.attr in _READERS and isinstance(call, ast.Call) and call.args:
                keys.add(_constant(call.args[0]))
        elif isinstance(node, ast.Subscript) and _is_cfg(node.value):
            keys.add(_constant(node.slice))
        elif isinstance(node, ast.Compare) and _is_cfg(node.comparators[0]):
            keys.add(_constant(node.left))
        elif isinstance(node, ast.Call):
            keys |= _keys_of_call(code, node)
    return frozenset(key for key in keys if isinstance(key, str))


def _keys_of_call(code: Code, call: ast.Call) -> set[str]:
    """``hasattr(cfg, "key")``, ``getattr(cfg, "key")`` and ``f(**cfg)``."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name in ("hasattr", "getattr") and len(call.args) > 1 and _is_cfg(call.args[0]):
        return {_constant(call.args[1])}
    if any(keyword.arg is None and _is_cfg(keyword.value) for keyword in call.keywords):
        target = code.resolve(call.func)
        return {parameter.name for parameter in parameters(target) or ()} if callable(target) else set()
    return set()


def _is_cfg(node: ast.expr) -> bool:
    """``cfg``, ``self.test_cfg``, and what lies in one: ``self.train_cfg["init"]``, ``cfg.rcnn``."""
    if isinstance(node, (ast.Attribute, ast.Subscript)) and _is_cfg(node.value):
        return True
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return bool(_IS_CFG.search(name))


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def written(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every key of a cfg and of the dicts without a type in it, each with the path of its dict."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from written(item, f"{path}.{number}")
    elif isinstance(value, dict) and "type" not in value:
        for key, item in value.items():
            if key not in ("_scope_", "_delete_"):
                yield path, key
                yield from written(item, f"{path}.{key}")
