"""The settings of a run as its checkpoint tells them, beside those of the config that resumes it.

A checkpoint holds its config as text. It is read as literals and never executed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from dense3d.errors import CheckpointError, ConfigError

CHOICES = ("config", "checkpoint")
# What training depends on; paths, logs and the test's settings are none of it.
PARTS = (
    *("model", "data_preprocessor", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"),
    *("auto_scale_lr", "val_dataloader", "val_cfg", "val_evaluator", "default_hooks", "custom_hooks"),
    *("find_unused_parameters", "model_wrapper_cfg"),
)
# Of these the checkpoint has a state or a place, so that its settings can hold as well.
RECIPE = ("optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr")
BATCH = ("train_dataloader", "batch_size")
_ABSENT = "(absent)"
_SCOPES = ("dense3d", "mmengine", "mmcv", "mmdet", "mmseg")
_SHOWN = 24


@dataclass(frozen=True)
class Change:
    """A setting that differs.

    Attributes:
        key: dotted, with list positions in brackets: ``param_scheduler[1].T_max``.
        saved: its value in the checkpoint's config.
        present: its value in the config that resumes.
    """

    key: str
    saved: Any
    present: Any

    @property
    def is_recipe(self) -> bool:
        """Whether ``resume_settings`` chooses between the two values."""
        return self.key.startswith(RECIPE) or self.key == ".".join(BATCH)

    def __str__(self) -> str:
        return f"{self.key} {_short(self.saved)} -> {_short(self.present)}"


def _short(value: Any) -> str:
    text = value if value is _ABSENT else repr(value)
    return text if len(text) <= 50 else f"{text[:47]}..."


def checked_choice(choice: Any) -> str:
    """Whose settings hold.

    Raises:
        ConfigError: it is none of the two words.
    """
    if choice not in CHOICES:
        raise ConfigError(f"resume_settings={choice!r}, but there are {' and '.join(map(repr, CHOICES))}")
    return choice


def read_settings(text: Any) -> dict[str, Any]:
    """The settings in a config's text; names and calls other than ``dict`` stay text. Nothing is executed.

    Returns:
        An empty dict if the text is no config.

    Example:
        >>> read_settings("train_cfg = dict(max_epochs=2)\\nscale = (1, -2)\\nrun = exec('...')")
        {'train_cfg': {'max_epochs': 2}, 'scale': [1, -2], 'run': "exec('...')"}
    """
    try:
        statements = ast.parse(text).body if isinstance(text, str) else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {
        target.id: _value(statement.value)
        for statement in statements
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_key(key): _value(item) for key, item in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    is_dict = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"
    if is_dict and not node.args and all(word.arg for word in node.keywords):
        return {word.arg: _value(word.value) for word in node.keywords}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ast.unparse(node)


def _key(node: ast.expr) -> Any:
    key = _value(node)
    return key if isinstance(key, (str, int, float, bool, type(None))) else repr(key)


def changes(saved: dict[str, Any], present: dict[str, Any]) -> list[Change]:
    """Settings of training that differ between two configs as :func:`read_settings` gives them.

    Example:
        >>> [str(c) for c in changes({"train_cfg": {"max_epochs": 2}}, {"train_cfg": {"max_epochs": 4}})]
        ['train_cfg.max_epochs 2 -> 4']
    """
    if not saved:
        return []
    found: list[Change] = []
    for part in PARTS:
        _compare(part, saved.get(part), present.get(part), found)
    return found


def _compare(key: str, saved: Any, present: Any, found: list[Change]) -> None:
    if isinstance(saved, dict) and isinstance(present, dict):
        for name in dict.fromkeys([*saved, *present]):
            _compare(f"{key}.{name}", saved.get(name, _ABSENT), present.get(name, _ABSENT), found)
    elif _are_dicts(saved) and _are_dicts(present) and len(saved) == len(present):
        for number, pair in enumerate(zip(saved, present)):
            _compare(f"{key}[{number}]", *pair, found)
    elif saved != present:
        found.append(Change(key, saved, present))


def _are_dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def sentence(found: list[Change], choice: str) -> str:
    """What differs, and which side holds; empty if nothing differs."""
    groups = {
        "config": [c for c in found if choice == "config" or not c.is_recipe],
        "checkpoint": [c for c in found if choice == "checkpoint" and c.is_recipe],
    }
    texts = []
    for side, members in groups.items():
        if members:
            more = f", ... and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
            texts.append(f"the {side}'s holds for {', '.join(map(str, members[:_SHOWN]))}{more}")
    if not texts:
        return ""
    other = "checkpoint" if choice == "config" else "config"
    hint = f"; --resume-settings {other} takes the {other}'s optimizer, schedule, length and batch size"
    return (
        "settings differ between checkpoint and config (checkpoint -> config): "
        + "; ".join(texts)
        + (hint if any(c.is_recipe for c in found) else "")
    )


def saved_recipe(saved: dict[str, Any], path: object) -> dict[str, Any]:
    """The parts of a checkpoint's config that ``resume_settings="checkpoint"`` takes.

    Raises:
        CheckpointError: the checkpoint does not tell them, or names a type outside the libraries' registries.
    """
    if not saved.get("optim_wrapper") or not saved.get("train_cfg"):
        raise CheckpointError(f"{path} does not tell its settings: resume with resume_settings='config'")
    recipe = {part: saved.get(part) for part in RECIPE}
    _check_types(recipe, path)
    return recipe


def _check_types(node: Any, path: object) -> None:
    """A registry also imports what a dotted type names: a file must not choose that."""
    if isinstance(node, dict):
        kind = str(node.get("type", ""))
        scope, _, name = kind.rpartition(".")
        if (kind and not name.isidentifier()) or scope not in ("", *_SCOPES):
            raise CheckpointError(f"{path} names the type {kind!r}, which a checkpoint may not choose")
    if isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            _check_types(value, path)
