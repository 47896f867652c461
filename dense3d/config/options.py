"""Options from the command line: ``key=value`` words turned into a dict and merged into a config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dense3d.config.option_values import parse_value
from dense3d.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_options(words: list[str] | None) -> dict[str, Any]:
    """Turn ``["a.b=1", "c=dict(d=2)"]`` into ``{"a.b": 1, "c": {"d": 2}}``; values as in :func:`parse_value`.

    Raises:
        ConfigError: a word has no ``=``, an empty key, a value that cannot be read, or comes twice.

    Example:
        >>> parse_options(["optim_wrapper.optimizer.lr=1e-4", "img_scale=(640,480)", "resume=True"])
        {'optim_wrapper.optimizer.lr': 0.0001, 'img_scale': (640, 480), 'resume': True}
    """
    options = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals or not all(key.lstrip("+").split(".")):
            raise ConfigError(
                f"option {_short(word)!r} is not of the form key=value, for instance train_cfg.max_epochs=12"
            )
        if key in options:
            raise ConfigError(f"option {key!r} is given twice, {_short(word)!r} the second time; leave one")
        try:
            options[key] = parse_value(value)
        except ConfigError as error:
            raise ConfigError(f"option {_short(word)!r}: {error}") from None
    return options


def _short(word: str, most: int = 200) -> str:
    return word if len(word) <= most else f"{word[:most]}..."


def parse_size(text: str) -> tuple[int, int]:
    """Height and width in pixels.

    Raises:
        ConfigError: it is not of the form ``HEIGHTxWIDTH``, or a side is under 32.

    Example:
        >>> parse_size("800x1333")
        (800, 1333)
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 32):
        raise ConfigError(f"--size {text!r} is not HEIGHTxWIDTH with sides of at least 32, such as 800x1333")
    return int(height), int(width)


def apply_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options into ``cfg`` in place.

    A dotted key goes down through dicts and (by number) lists. Its last part may be new, since many
    arguments have defaults that no config spells out; every part before it must exist, and a new
    top-level key that resembles an existing one is taken for a misspelling. A leading ``+`` on the
    key adds it whatever it resembles. ``data_root`` moves all data sets, and the files of their metrics.

    Raises:
        ConfigError: the key leads nowhere; the nearest existing key is named.
    """
    from dense3d.config import moving

    left: list[tuple] = []
    for key, value in options.items():
        add, name = key.startswith("+"), key.lstrip("+")
        if name == moving.KEY:
            moving.move_all(cfg, value, f"option {key!r}")
            continue
        if not add:
            _check_path(cfg._cfg_dict, name)
        if name.endswith(f".{moving.KEY}") and name.partition(".")[0].endswith("_dataloader"):
            old = _value_at(cfg._cfg_dict, name)
            moving.move_loader(cfg, name, old, value)
            if isinstance(old, str):
                left.append((name, old, value))
        try:
            cfg.merge_from_dict({name: value})
        except (KeyError, TypeError, AttributeError, AssertionError, IndexError, ValueError) as error:
            reason = str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"option {key!r} cannot be merged into the config: {reason}") from error
    object.__setattr__(cfg, moving.MOVED, left)


def _value_at(node: Any, name: str) -> Any:
    """What stands at a dotted path, or None."""
    for part in name.split("."):
        if isinstance(node, (list, tuple)):
            node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def _check_path(node: Any, name: str) -> None:
    from dense3d.config.settings import runner_settings

    parts = name.split(".")
    for depth, part in enumerate(parts):
        parent = ".".join(parts[:depth])
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f"option {name!r}: {parent} is a list of {len(node)} items; give a number below that"
                )
            node = node[int(part)]
            continue
        if not isinstance(node, dict):
            raise ConfigError(f"option {name!r}: {parent} is the value {node!r} and has no key {part!r}")
        if part in node:
            node = node[part]
            continue
        hint = did_you_mean(part, list(node), limit=2)
        if depth + 1 < len(parts) or (depth == 0 and hint and part not in runner_settings()):
            place = f"{parent} has" if parent else "the config has"
            raise ConfigError(
                f"option {name!r}: {place} no key {part!r}{hint or ''}; write +{name} to add it"
            )
        return
