"""Values of the wrong type or out of range: ``batch_size="8"``, ``max_epochs=0``, a learning rate of nan.

What a value may be follows from the annotation of the argument that takes it. Annotations are wishes more
than rules (a list where a tuple is asked for, a whole number for a float, None for a dict), so that only what
cannot serve is a fault.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from dense3d.config.syntax import method, parameters

# The least values of numbers that settings of a run have.
RANGES = {
    "batch_size": 1,
    "max_epochs": 1,
    "max_iters": 1,
    "val_interval": 1,
    "accumulative_counts": 1,
    "base_batch_size": 1,
    "num_workers": 0,
    "lr": 0,
    "weight_decay": 0,
    "seed": 0,
}
# Words in place of numbers, which the runner fills in: see engine/channels.py and engine/class_counts.py.
_FILLED_IN = {
    "backbone": ("in_channels",),
    "data": ("num_classes", "num_things_classes", "num_stuff_classes", "thing_classes", "class_names"),
}
_COUNTS = {key for key in RANGES if key not in ("lr", "weight_decay")}
_EXACT = ("batch_size", "num_workers", "seed")  # torch and NumPy refuse 8.0
_NUMBERS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
_KINDS = {**_NUMBERS, dict: "a dict", list: "a list"}


def wrong_value(value: Any, key: str, target: Any) -> str | None:
    """What is wrong with the value that a config gives argument ``key`` of a class or function, or None."""
    parameter = _parameters(target).get(key)
    if parameter is None or (isinstance(value, str) and key.endswith(_FILLED_IN.get(value, ()))):
        return None
    hint = _hints(target).get(key, parameter.annotation)
    if value is None and (parameter.default is None or parameter.default is parameter.empty):
        return None if parameter.default is None or fits(None, hint) else f"must be {_wish(hint)}, not None"
    return None if fits(value, hint) else f"must be {_wish(hint)}, not {shown(value)}"


def out_of_range(value: Any, key: str) -> str | None:
    """What is wrong with a number of the settings that count or measure something, or None."""
    least = RANGES.get(key)
    if least is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if key in _COUNTS and not (isinstance(value, int) or (key not in _EXACT and value == value // 1)):
        return f"must be a whole number, not {value}"
    if not value >= least or math.isinf(value):
        return f"must be {'at least ' + str(least) if least else '0 or more'}, not {value}"
    return None


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config can serve where the annotation is ``hint``.

    Example:
        >>> fits("8", int), fits(8, float), fits([1, 2], tuple[int, int]), fits(None, int | None)
        (False, True, True, True)
        >>> from collections.abc import Iterable, Sequence
        >>> fits({"Bus": "Car"}, Iterable[str]), fits({"Bus": "Car"}, Sequence[str])
        (True, False)
        >>> fits("a", int | Sequence[int]), fits("a", Sequence[str])
        (False, True)
    """
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return any(_fits_one(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint) if isinstance(value, str) else True
    kind = origin or hint
    if kind is None or kind is type(None):
        return value is None
    if not inspect.isclass(kind) or kind is object:
        return True
    if kind is bool:
        return value is None or isinstance(value, (bool, int)) or _is_object(value)
    if kind in (int, float) and isinstance(value, (list, tuple)):
        return bool(value) and all(fits(item, kind) for item in value)  # one for each level, side or colour
    if kind is int or kind is float:
        return isinstance(value, (int, float)) or _is_object(value)
    if kind is str:
        return value is not None and not isinstance(value, (list, tuple))
    if issubclass(kind, Mapping):
        is_dicts = isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)
        return isinstance(value, Mapping) or is_dicts or value in (None, False) or _is_object(value)
    if issubclass(kind, (list, tuple)) or kind.__name__ in ("Sequence", "Iterable"):
        return _fits_items(value, hint, kind)
    return True


def _fits_one(value: Any, hint: Any) -> bool:
    """:func:`fits` for one of several kinds: a class such as ``Tensor`` is none of a config's own values."""
    # Python 3.10 takes list[int] for a class.
    if (
        typing.get_origin(hint) is not None
        or not inspect.isclass(hint)
        or hint in (object, type(None), *_KINDS)
    ):
        return fits(value, hint)
    if issubclass(hint, (Mapping, list, tuple, str)) or hint.__module__ == "collections.abc":
        return fits(value, hint)
    return _is_object(value) or isinstance(value, str if issubclass(hint, PurePath) else Mapping)


def _fits_items(value: Any, hint: Any, kind: type) -> bool:
    if isinstance(value, str):
        return kind.__name__ in ("Sequence", "Iterable") and not {int, float} & {*typing.get_args(hint)}
    if isinstance(value, Mapping) and kind.__name__ == "Iterable":  # of its keys
        return True
    if not isinstance(value, (list, tuple)):  # one number may stand for all
        return isinstance(value, (int, float)) or _is_object(value)
    wishes = [wish for wish in typing.get_args(hint) if wish is not Ellipsis]
    if len(wishes) == 1 or (wishes and len(wishes) == len(value)):
        wishes = wishes * len(value) if len(wishes) == 1 else wishes
        return all(fits(item, wish) or isinstance(item, Mapping) for item, wish in zip(value, wishes))
    return True


def _is_object(value: Any) -> bool:
    """Whether the value is none of a config's own kinds; of such, nothing is said."""
    return value is not None and not isinstance(value, (bool, int, float, str, list, tuple, Mapping))


def not_numbers(value: Any, path: str) -> Iterator[str]:
    """The paths of numbers that are nan, inside dicts and lists."""
    if isinstance(value, float) and math.isnan(value):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from not_numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from not_numbers(item, f"{path}.{number}")


def shown(value: Any, most: int = 60) -> str:
    """A value as a message shows it.

    Example:
        >>> shown("8"), shown({"a": 1}), shown([1, 2])
        ("the text '8'", "the dict {'a': 1}", 'the list [1, 2]')
    """
    name = {str: "the text ", dict: "the dict ", list: "the list ", tuple: "the tuple "}
    word = next((word for kind, word in name.items() if isinstance(value, kind)), "")
    text = repr(dict(value) if isinstance(value, dict) else value)
    return word + (text if len(text) <= most else f"{text[:most]}...")


def _wish(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        return " or ".join(dict.fromkeys(_wish(one) for one in typing.get_args(hint)))
    if origin is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    kind = origin or hint
    if kind is None or kind is type(None):
        return "None"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a dict"
    if (
        inspect.isclass(kind)
        and kind not in _NUMBERS
        and (kind in (list, tuple) or kind.__name__ in "Sequence")
    ):
        inner = [_wish(one) for one in typing.get_args(hint)[:1]]
        return f"a list of items that are each {inner[0]}" if inner else "a list"
    return _KINDS.get(kind, getattr(kind, "__name__", str(kind)))


@cache
def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of a function, or of the constructors of a class and its bases."""
    found: dict[str, inspect.Parameter] = {}
    for function in _constructors(target):
        for parameter in parameters(function) or ():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter)
    return found


@cache
def _hints(target: Any) -> dict[str, Any]:
    """Annotations of the parameters, resolved; of nothing where they do not resolve."""
    found: dict[str, Any] = {}
    for function in reversed(_constructors(target)):
        try:
            found |= typing.get_type_hints(function)
        except Exception:  # names that exist for type checkers only
            annotations = getattr(function, "__annotations__", {})
            found |= {name: _resolved(hint, function) for name, hint in annotations.items()}
    return found


def _resolved(hint: Any, function: Any) -> Any:
    """One annotation; ``object``, which says nothing, where it does not resolve."""
    try:
        one = types.FunctionType((lambda: None).__code__, inspect.unwrap(function).__globals__)
        one.__annotations__ = {"hint": hint}
        return typing.get_type_hints(one)["hint"]
    except Exception:
        return object


def _constructors(target: Any) -> list[Any]:
    if not inspect.isclass(target):
        return [target]
    found, after = [], None
    while (one := method(target, "__init__", after)) is not None and one[0] is not object:
        found.append(one[1])
        after = one[0]
        takes_more = any(p.kind is p.VAR_KEYWORD for p in parameters(one[1]) or ())
        if not takes_more:
            break
    return found
