"""Checking a config before anything is built: every misspelt key, type and argument, all at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from dense3d.config import cfg_keys
from dense3d.config.arguments import accepted_arguments, reads_of
from dense3d.config.nested import unknown_keys
from dense3d.config.places import OPTIONS, locate, locate_path, option_sources, rank_of, writes
from dense3d.config.reads import Reads
from dense3d.config.settings import completed, plain_dicts, runner_settings, setting_faults
from dense3d.config.sources import Source, read_sources
from dense3d.config.types import KIND_OF_KEY, find_type, suggest
from dense3d.config.values import wrong_value
from dense3d.errors import ConfigError, did_you_mean

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
# What owners take out of these dicts themselves: by the end of the dict's key.
TAKEN_OUT = {
    "norm_cfg": {"requires_grad"},
    "conv_cfg": {"fallback_on_stride", "use_dcn"},
    "dcn": {"fallback_on_stride"},
    "upsample_cfg": {"upsample_kernel", "scale_factor"},
    "init_cfg": {"override", "name"},
    "override": {"name"},
    "nms": {"class_agnostic", "split_thr", "iou_thr", "max_num"},
}
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
    faults = list(setting_faults(cfg, sources))
    scope = cfg.get("default_scope") or "dense3d"
    # Variables such as train_pipeline are checked where a setting of the runner holds their value.
    settings = completed({key: cfg._cfg_dict[key] for key in cfg if key in runner_settings()})
    first_by_cause: dict[tuple, str] = {}
    nodes = list(_typed_dicts(settings, scope))
    for node in nodes:
        for cause, sentence in _type_faults(node, sources):
            first_by_cause.setdefault(cause, sentence)
    for path, value, reads, reader in plain_dicts(settings):
        for cause, sentence in _unread(value, reads, path, reader, sources):
            first_by_cause.setdefault(cause, sentence)
    model = [node for node in nodes if node.path.partition(".")[0] == "model"]
    return [*faults, *first_by_cause.values(), *_unread_cfg_keys(model, sources)]


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
    accepted = accepted_arguments(target, node.value, lambda name: find_type(name, node.scope, node.kind))
    if accepted is not None:
        left, place = _left_of_base(node, accepted, sources)
        if len(left) > 1:
            yield (
                (place, name, "_delete_"),
                f"{place}: {name} at {node.path} takes the place of another type, whose arguments "
                f"{', '.join(map(repr, left))} stay from the base; write _delete_=True beside the new type, "
                "then nothing of the base's dict stays",
            )
        taken = next((keys for end, keys in TAKEN_OUT.items() if node.key.endswith(end)), set())
        for key in node.value:
            if key not in accepted and key not in BUILDER_KEYS | OWNER_KEYS | taken | {*left}:
                hint = did_you_mean(key, accepted, limit=2)
                if reads_of(target).swallows and not difflib.get_close_matches(key, accepted, 1, 0.85):
                    continue  # mmdet's own configs give some heads what they do not look at
                where = locate_path(sources, f"{node.path}.{key}")
                hint = hint or f"; it accepts {_listing(accepted)}"
                yield (where, name, key), f"{where}: {name} at {node.path} has no argument {key!r}{hint}"
    for key, value in node.value.items():
        wrong = None if key in BUILDER_KEYS else wrong_value(value, key, target)
        if wrong is not None:
            where = locate_path(sources, f"{node.path}.{key}")
            yield (where, name, key), f"{where}: {key} of {name} at {node.path} {wrong}"
    reads = reads_of(target)
    for key, value in node.value.items():
        inner = reads.at(key) if key in reads.keys and key not in cfg_keys.NAMES else None
        if key == "paramwise_cfg":
            constructor = node.value.get("constructor", "DefaultOptimWrapperConstructor")
            found = find_type(constructor, node.scope, "OPTIM_WRAPPER_CONSTRUCTORS")
            inner = reads_of(found).at(key) if found is not None else None
        if inner is not None and isinstance(value, (dict, list, tuple)):
            yield from _unread(value, inner, f"{node.path}.{key}", name, sources)


def _left_of_base(node: Node, accepted: frozenset[str], sources: list[Source]) -> tuple[list[str], str]:
    """Arguments of a base's dict that the type of an inheriting file lacks, and where that type is."""
    kind = rank_of(sources, f"{node.path}.type")
    unknown = [key for key in node.value if key not in accepted and key not in BUILDER_KEYS | OWNER_KEYS]
    left = [
        key for key in unknown if kind is not None and (rank_of(sources, f"{node.path}.{key}") or -1) > kind
    ]
    return left if "_delete_" not in node.value else [], locate_path(sources, f"{node.path}.type")


def _unread(
    value: Any, reads: Reads, path: str, reader: str, sources: list[Source]
) -> Iterator[tuple[tuple, str]]:
    """Keys of dicts without a type that ``reader`` never looks at."""
    for place, key, known in unknown_keys(value, reads, path):
        where = locate_path(sources, f"{place}.{key}")
        hint = did_you_mean(key, known, limit=2) or f"; it reads {_listing(known)}"
        yield (where, reader, key), f"{where}: {reader} reads no {key!r} in {place}{hint}"


def _unread_cfg_keys(model: list[Node], sources: list[Source]) -> Iterator[str]:
    """Keys of ``train_cfg`` and ``test_cfg`` that no class of the model reads."""
    if not any(name in node.value for node in model for name in cfg_keys.NAMES):
        return
    classes = [find_type(node.value["type"], node.scope, node.kind) for node in model]
    known = cfg_keys.keys_read(classes)
    for node in model:
        for name in cfg_keys.NAMES:
            for path, key in cfg_keys.written(node.value.get(name), f"{node.path}.{name}"):
                if key not in known:
                    hint = did_you_mean(key, known, limit=2)
                    yield (
                        f"{locate_path(sources, f'{path}.{key}')}: no class of the model reads {key!r} of "
                        f"{path}{hint}"
                    )


def _as_written(sources: list[Source], name: str, scope: str) -> str:
    """The type as the files write it: maybe with the prefix that loading took off."""
    prefixed = f"{scope}.{name}"
    return prefixed if any(writes(source, "type", prefixed) for source in sources) else name


def _listing(names: frozenset[str], most: int = 12) -> str:
    shown = sorted(names - {"args"})
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
