"""Checking a config before anything is built: every misspelt key, type and argument, all at once."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from dense3d.config.arguments import accepted_arguments
from dense3d.config.sources import OPTIONS, Source, locate, option_sources, read_sources, used_names
from dense3d.config.types import KIND_OF_KEY, find_type, suggest
from dense3d.errors import ConfigError, did_you_mean

# Customary names of variables that resemble settings.
VARIABLES = {"train_pipeline", "val_pipeline", "test_pipeline", "norm_cfg"}
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Keys that the builders of mmengine and mmcv take out before the constructor sees the rest.
BUILDER_KEYS = {
    "type",
    "_scope_",
    "_delete_",
    "constructor",
    "paramwise_cfg",
    "convert_to_iter_based",
    "priority",
}
# Taken out by mmdet's DETR heads from the loss, and by our runner from a dataset of another library.
OWNER_KEYS = {"bg_cls_weight", "skip_bad_samples", "allow_lost_boxes"}
# mmcv and mmengine build these from a mixture of their own keys and the layer's arguments.
FREE_ARGUMENTS = (
    "norm_cfg",
    "act_cfg",
    "conv_cfg",
    "upsample_cfg",
    "init_cfg",
    "override",
    "roi_layer",
    "nms",
    "dcn",
)
# Dicts whose "type" is no registered name but a word that the owner understands.
FREE_TYPES = ("bbox_params", "nms", "override", "adapt_cfg", "_trans")
FREE_OWNERS = ("Albu",)


@dataclass(frozen=True)
class Node:
    """One dict of the config: where it stands, under which scope its type resolves, of which kind it is."""

    path: str
    key: str
    value: ConfigDict
    scope: str
    kind: str | None


def check_config(cfg: Config) -> None:
    """Check keys, type names and constructor arguments of a loaded config without building anything.

    Raises:
        ConfigError: one sentence a fault, each with file and line, the value seen and the nearest
            known names; all faults are in the one message.
    """
    faults = find_faults(cfg)
    if len(faults) == 1:
        raise ConfigError(faults[0])
    if faults:
        listing = "\n".join(f"  - {fault}" for fault in faults)
        raise ConfigError(f"{cfg.filename or 'the config'} has {len(faults)} faults:\n{listing}")


def find_faults(cfg: Config) -> list[str]:
    """The faults that :func:`check_config` raises, as sentences; empty if the config is sound."""
    sources = read_sources(Path(cfg.filename)) if cfg.filename else []
    sources = [*option_sources(vars(cfg).get(OPTIONS, {})), *sources]
    faults = list(_top_level_faults(cfg, sources))
    scope = cfg.get("default_scope") or "dense3d"
    # Variables such as train_pipeline are checked where a setting of the runner holds their value.
    settings = {key: cfg._cfg_dict[key] for key in cfg if key in _runner_settings()}
    first_by_cause: dict[tuple, str] = {}
    for node in _typed_dicts(settings, scope):
        for cause, sentence in _type_faults(node, sources):
            first_by_cause.setdefault(cause, sentence)
    return faults + list(first_by_cause.values())


@lru_cache(maxsize=1)
def _runner_settings() -> frozenset[str]:
    from mmengine.runner import Runner

    extra = ("default_scope", "custom_imports", "auto_scale_lr", "tta_model", "tta_pipeline")
    return frozenset(inspect.signature(Runner.__init__).parameters) - {"self"} | frozenset(extra)


def _top_level_faults(cfg: Config, sources: list[Source]) -> Iterator[str]:
    from torch.utils.data import DataLoader

    known = _runner_settings()
    used = used_names(sources)
    for key in cfg:
        # A variable that the files use under another name is no misspelt setting.
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if near and key not in known | used | VARIABLES:
            where = locate(sources, key)
            yield f"{where}: unknown key {key!r} at the top level of the config; did you mean {near[0]!r}?"
    loader_keys = set(inspect.signature(DataLoader.__init__).parameters) - {"self"}
    loader_keys |= {"dataset", "num_batch_per_epoch", "collate_fn", "_delete_"}
    for name in LOADERS:
        loader = cfg.get(name)
        for key in loader if isinstance(loader, dict) else ():
            if key not in loader_keys:
                where = locate(sources, key)
                yield f"{where}: unknown key {key!r} in {name}{did_you_mean(key, loader_keys, limit=1)}"


def _typed_dicts(
    node: Any, scope: str, path: str = "", key: str = "", kind: str | None = None
) -> Iterator[Node]:
    """Every dict with a ``type``, in order; the owner of free-form dicts keeps its inside to itself."""
    if isinstance(node, dict):
        scope = node.get("_scope_") or scope
        typed = isinstance(node.get("type"), str)
        if typed and not key.endswith(FREE_TYPES):
            yield Node(path, key, node, scope, kind)
        if typed and node["type"].rpartition(".")[2] in FREE_OWNERS:
            return
        for name, value in node.items():
            below = f"{path}.{name}" if path else name
            yield from _typed_dicts(value, scope, below, name, KIND_OF_KEY.get(name, None if typed else kind))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _typed_dicts(value, scope, f"{path}.{index}", key, kind)


def _type_faults(node: Node, sources: list[Source]) -> Iterator[tuple[tuple, str]]:
    """Pairs of a cause, the same for all places that one line of the config reaches, and a sentence."""
    name = node.value["type"]
    target = find_type(name, node.scope, node.kind)
    if target is None:
        name = _as_written(sources, name, node.scope)
        where = locate(sources, "type", name)
        hint = suggest(name, node.scope, node.kind)
        yield (where, name), f"{where}: unknown type {name!r} at {node.path}{hint}"
        return
    accepted = None if node.key.endswith(FREE_ARGUMENTS) else accepted_arguments(target)
    for key in node.value if accepted is not None else ():
        if key not in accepted and key not in BUILDER_KEYS | OWNER_KEYS:
            where = locate(sources, key)
            hint = did_you_mean(key, accepted, limit=2) or f"; it accepts {_listing(accepted)}"
            yield (where, name, key), f"{where}: {name} at {node.path} has no argument {key!r}{hint}"


def _as_written(sources: list[Source], name: str, scope: str) -> str:
    """The type as the files write it: maybe with the prefix that loading took off."""
    prefixed = f"{scope}.{name}"
    return prefixed if any(source.line_of_value("type", prefixed) for source in sources) else name


def _listing(names: frozenset[str], most: int = 12) -> str:
    shown = sorted(names - {"args"})
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
