"""One key moves a data set: the paths of its loaders and the files of its metrics follow a ``data_root``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.config.sources import Source
from dense3d.errors import ConfigError

KEY = "data_root"
SPLITS = ("train", "val", "test")
MOVED = "_moved"  # attribute of a config: key, old and new folder of each loader that an option moved


def move_all(cfg: Config, new: Any, option: str) -> None:
    """Everything that loaders and metrics read below the config's ``data_root`` moves to ``new``.

    Raises:
        ConfigError: ``new`` is no text, or the data sets have no root in common.
    """
    if not isinstance(new, str) or not new:
        raise ConfigError(f"{option}: {KEY} must be a folder, not {new!r}")
    old = cfg.get(KEY)
    if not isinstance(old, str) or not old:
        roots = sorted({root for split in SPLITS for root in roots_of(cfg.get(f"{split}_dataloader"))})
        if len(roots) != 1:
            there = f"the data sets lie in {', '.join(roots)}" if roots else "no data set has one"
            raise ConfigError(f"{option}: the config has no one {KEY}; {there}")
        old = roots[0]
    for split in SPLITS:
        for key in (f"{split}_dataloader", f"{split}_evaluator"):
            if key in cfg:
                cfg._cfg_dict[key] = moved(cfg._cfg_dict[key], old, new)
    cfg._cfg_dict[KEY] = new


def move_loader(cfg: Config, name: str, old: Any, new: Any) -> None:
    """What the metric of one loader reads below the old ``data_root`` of its data set moves to the new one.

    Args:
        name: option's dotted key, such as ``"val_dataloader.dataset.data_root"``.
        old: what stood there.
        new: what stands there now.
    """
    loader = name.partition(".")[0]
    if not (isinstance(old, str) and old and isinstance(new, str)):
        return
    evaluator = loader.replace("_dataloader", "_evaluator")
    if evaluator in cfg:
        cfg._cfg_dict[evaluator] = moved(cfg._cfg_dict[evaluator], old, new)


def refuse_left_behind(cfg: Config, splits: tuple[str, ...]) -> None:
    """See :func:`move_loader`; called when it is known which data a command reads.

    Raises:
        ConfigError: another loader of ``splits`` still reads the old folder, which does not exist.
    """
    loaders = [f"{split}_dataloader" for split in splits]
    for name, old, new in vars(cfg).get(MOVED, ()):
        left = [loader for loader in loaders if any(_below(root, old) for root in roots_of(cfg.get(loader)))]
        if not left or Path(old).exists():
            continue
        still = f"{' and '.join(left)} still {'read' if left[1:] else 'reads'} {old}, which is not there"
        raise ConfigError(
            f"option {name!r} moves that data set alone: {still}; {KEY}={new} moves all of them and "
            "the files of the metrics"
        )


def follow_files(cfg: Config, sources: list[Source]) -> None:
    """Move what a file that inherits asks for with a ``data_root`` that it uses nowhere else itself."""
    if not sources or sources[0].tree is None:
        return
    names = [node for node in ast.walk(sources[0].tree) if isinstance(node, ast.Name) and node.id == KEY]
    new = cfg.get(KEY)
    if len(names) != 1 or not isinstance(names[0].ctx, ast.Store) or not isinstance(new, str) or not new:
        return
    old = next((root for source in sources[1:] if (root := _written(source)) is not None), None)
    if old is not None:
        cfg._cfg_dict[KEY] = old
        move_all(cfg, new, KEY)


def roots_of(loader: Any) -> Iterator[str]:
    """Every ``data_root`` inside the settings of a loader."""
    if isinstance(loader, dict):
        for key, value in loader.items():
            if key == KEY and isinstance(value, str) and value:
                yield value
            else:
                yield from roots_of(value)
    elif isinstance(loader, (list, tuple)):
        for value in loader:
            yield from roots_of(value)


def moved(node: Any, old: str, new: str) -> Any:
    """The settings with every path at or below ``old`` below ``new``; dicts and lists change in place.

    Example:
        >>> moved({"ann_file": "data/coco/a.json", "root": "data/coco/", "n": 1}, "data/coco/", "/disk/coco")
        {'ann_file': '/disk/coco/a.json', 'root': '/disk/coco/', 'n': 1}
    """
    if isinstance(node, dict):
        for key, value in node.items():
            node[key] = moved(value, old, new)
    elif isinstance(node, list):
        node[:] = [moved(value, old, new) for value in node]
    elif isinstance(node, tuple):
        return tuple(moved(value, old, new) for value in node)
    elif isinstance(node, str) and _below(node, old):
        return new.rstrip("/") + node[len(old.rstrip("/")) :]
    return node


def _below(path: str, root: str) -> bool:
    root = root.rstrip("/")
    return bool(root) and (path.rstrip("/") == root or path.startswith(f"{root}/"))


def _written(source: Source) -> str | None:
    """The text that a file gives ``data_root``."""
    for node in source.tree.body if source.tree else ():
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == KEY:
            return node.value.value if isinstance(node.value, ast.Constant) else None
    return None
