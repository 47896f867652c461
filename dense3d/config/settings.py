"""The settings of a run: keys at the top level, what kind of value each takes, and numbers out of range."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from mmengine.config import Config

from dense3d.config.places import locate_path, used_names
from dense3d.config.reads import Flow, Reads
from dense3d.config.sources import Source
from dense3d.config.syntax import method
from dense3d.config.values import not_numbers, out_of_range, shown, wrong_value
from dense3d.errors import did_you_mean

# Customary names of variables that resemble settings.
VARIABLES = {"train_pipeline", "val_pipeline", "test_pipeline", "norm_cfg"}
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# What the type of these is where they name none.
DEFAULT_TYPES = {
    "val_cfg": "ValLoop",
    "test_cfg": "TestLoop",
    "log_processor": "LogProcessor",
    "optim_wrapper": "OptimWrapper",
}
_DICTS = (*LOADERS, "model", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "default_hooks", "env_cfg",
          "randomness", "auto_scale_lr", "log_processor", "visualizer", "data_preprocessor", "tta_model",
          "synthetic_data")  # fmt: skip
_LISTS_OF_DICTS = ("custom_hooks", "tta_pipeline")
_EITHER = ("param_scheduler", "val_evaluator", "test_evaluator")
_WORDS = ("default_scope", "load_from", "work_dir", "experiment_name", "launcher")
_WISHES = {
    "dict": "a dict",
    "list": "a list of dicts",
    "either": "a dict or a list of dicts",
    "word": "a text",
}
# Settings whose numbers have a least value; models use some of the names in ways of their own.
_RANGED = (*LOADERS, "train_cfg", "optim_wrapper", "auto_scale_lr", "randomness")


@lru_cache(maxsize=1)
def runner_settings() -> frozenset[str]:
    """Keys at the top level that are settings of the run, and no variables."""
    from mmengine.runner import Runner

    extra = ("default_scope", "custom_imports", "auto_scale_lr", "tta_model", "tta_pipeline")
    return frozenset(inspect.signature(Runner.__init__).parameters) - {"self"} | frozenset(extra)


def setting_faults(cfg: Config, sources: list[Source]) -> Iterator[str]:
    """Sentences on keys and values of the settings themselves."""
    yield from _unknown_keys(cfg, sources)
    settings = cfg._cfg_dict
    for key in (*_DICTS, *_LISTS_OF_DICTS, *_EITHER, *_WORDS):
        wrong = _wrong_kind(key, settings.get(key))
        if wrong:
            path, sentence = wrong
            yield f"{locate_path(sources, path)}: {path} must be {sentence}"
    yield from _words(settings, sources)
    for path, sentence in _environment(settings):
        yield f"{locate_path(sources, path)}: {path} {sentence}"
    for key in settings:
        if key in runner_settings():
            for path in not_numbers(settings[key], key):
                yield f"{locate_path(sources, path)}: {path} is nan, which is no number"
    for key in _RANGED:
        for path, sentence in _out_of_range(settings.get(key), key):
            yield f"{locate_path(sources, path)}: {path} {sentence}"
    for name in LOADERS:
        yield from _loader_faults(settings.get(name), name, sources)


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the types that dicts have where they name none; the dicts are copies there."""
    settings = dict(settings)
    for key, kind in DEFAULT_TYPES.items():
        value = settings.get(key)
        if isinstance(value, dict) and "type" not in value and "constructor" not in value:
            settings[key] = type(value)({"type": kind, **value})
    loop = settings.get("train_cfg")
    if isinstance(loop, dict) and "type" not in loop and "by_epoch" in loop:
        kind = "EpochBasedTrainLoop" if loop["by_epoch"] else "IterBasedTrainLoop"
        rest = {key: value for key, value in loop.items() if key != "by_epoch"}
        settings["train_cfg"] = type(loop)({"type": kind, **rest})
    return settings


def plain_dicts(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any, Reads, str]]:
    """Dicts of the settings that have no type: path, value, what is read of them, and by whom."""
    from mmengine.runner import Runner
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_

    owner, function = method(Runner, "setup_env")
    yield "env_cfg", settings.get("env_cfg"), Reads([Flow(Runner, owner, function, "env_cfg")]), "the runner"
    yield "randomness", settings.get("randomness"), Reads(calls=(Runner.set_randomness,)), "the runner"
    owner, function = method(Runner, "scale_lr")
    reads = Reads([Flow(Runner, owner, function, "auto_scale_lr")])
    yield "auto_scale_lr", settings.get("auto_scale_lr"), reads, "the runner"
    wrapper = settings.get("optim_wrapper")
    clip = wrapper.get("clip_grad") if isinstance(wrapper, dict) else None
    if isinstance(clip, dict):
        clip = {key: value for key, value in clip.items() if key != "type"}
        by_value = wrapper["clip_grad"].get("type") == "value"
        reads = Reads(calls=(clip_grad_value_ if by_value else clip_grad_norm_,))
        yield "optim_wrapper.clip_grad", clip, reads, "the clipping of gradients"


def _unknown_keys(cfg: Config, sources: list[Source]) -> Iterator[str]:
    known = runner_settings()
    used = used_names(sources)
    for key in cfg:
        # A variable that the files use under another name is no misspelt setting.
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if near and key not in known | used | VARIABLES:
            where = locate_path(sources, key)
            yield f"{where}: unknown key {key!r} at the top level of the config; did you mean {near[0]!r}?"


def _wrong_kind(key: str, value: Any) -> tuple[str, str] | None:
    """The path of a value of the wrong kind, and what it must be instead."""
    if value is None or not isinstance(value, (bool, int, float, str, list, tuple, Mapping)):
        return None
    if key in _DICTS:
        return None if isinstance(value, Mapping) else (key, f"a dict, not {shown(value)}")
    if key in _WORDS:
        return None if isinstance(value, str) else (key, f"a text, not {shown(value)}")
    if key in _EITHER and isinstance(value, Mapping):
        return None
    if not isinstance(value, (list, tuple)):
        wish = "a dict or a list of dicts" if key in _EITHER else "a list of dicts"
        return key, f"{wish}, not {shown(value)}"
    for number, item in enumerate(value):
        if isinstance(item, (bool, int, float, str, list, tuple)) or item is None:
            return f"{key}.{number}", f"a dict, not {shown(item)}"
    return None


def _environment(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    environment = settings.get("env_cfg")
    for key in ("mp_cfg", "dist_cfg") if isinstance(environment, Mapping) else ():
        value = environment.get(key)
        if value is not None and not isinstance(value, Mapping):
            yield f"env_cfg.{key}", f"must be a dict, not {shown(value)}"


def _words(settings: Mapping[str, Any], sources: list[Source]) -> Iterator[str]:
    """Texts that are one of a few words."""
    level = settings.get("log_level")
    levels = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
    if level is not None and level not in levels and not isinstance(level, int):
        hint = did_you_mean(str(level), levels, limit=1) or f"; it is one of {', '.join(levels)}"
        yield f"{locate_path(sources, 'log_level')}: unknown log_level {level!r}{hint}"
    scope = settings.get("default_scope")
    if isinstance(scope, str) and not (scope.isidentifier() and importlib.util.find_spec(scope)):
        hint = did_you_mean(scope, ("dense3d", "mmdet", "mmseg", "mmengine"), limit=1)
        yield f"{locate_path(sources, 'default_scope')}: default_scope names no library: {scope!r}{hint}"
    resume = settings.get("resume")
    if not isinstance(resume, (bool, str)) and resume is not None:
        yield f"{locate_path(sources, 'resume')}: resume must be True or False, not {shown(resume)}"
    for name, hook in _items(settings.get("default_hooks")):
        if hook is not None and not (isinstance(hook, Mapping) and "type" in hook) and _is_plain(hook):
            path = f"default_hooks.{name}"
            where = locate_path(sources, path)
            yield f"{where}: {path} must be None or a dict with a type, not {shown(hook)}"


def _out_of_range(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            sentence = out_of_range(item, key)
            if sentence:
                yield f"{path}.{key}", sentence
            if key != "dataset":
                yield from _out_of_range(item, f"{path}.{key}")


def _loader_faults(loader: Any, name: str, sources: list[Source]) -> Iterator[str]:
    from torch.utils.data import DataLoader

    if not isinstance(loader, Mapping):
        return
    known = set(inspect.signature(DataLoader.__init__).parameters) - {"self"}
    known |= {"dataset", "num_batch_per_epoch", "collate_fn", "_delete_"}
    for key, value in loader.items():
        path = f"{name}.{key}"
        if key not in known:
            hint = did_you_mean(key, known, limit=1)
            yield f"{locate_path(sources, path)}: unknown key {key!r} in {name}{hint}"
        elif key in ("dataset", "sampler", "batch_sampler") and _is_plain(value):
            if not isinstance(value, Mapping) and not (key == "batch_sampler" and value is None):
                yield f"{locate_path(sources, path)}: {path} must be a dict, not {shown(value)}"
        elif key not in ("dataset", "sampler", "batch_sampler", "collate_fn", "worker_init_fn"):
            wrong = wrong_value(value, key, DataLoader)
            if wrong:
                yield f"{locate_path(sources, path)}: {path} {wrong}"
    for path, sentence in _dataset_faults(loader.get("dataset"), f"{name}.dataset"):
        yield f"{locate_path(sources, path)}: {path} {sentence}"


def _dataset_faults(dataset: Any, path: str) -> Iterator[tuple[str, str]]:
    """What the scan reads of a data set before it is built, also inside of wrappers."""
    if not isinstance(dataset, Mapping):
        return
    if dataset.get("type", "") is None:
        yield path, "must have a type, the class of the data set"
    root = dataset.get("data_root")
    if _is_plain(root) and not isinstance(root, (str, type(None))):
        yield f"{path}.data_root", f"must be a text, not {shown(root)}"
    pipeline = dataset.get("pipeline")
    if _is_plain(pipeline) and not isinstance(pipeline, (list, tuple, type(None))):
        yield f"{path}.pipeline", f"must be a list of dicts, not {shown(pipeline)}"
    for number, step in enumerate(pipeline if isinstance(pipeline, (list, tuple)) else ()):
        if _is_plain(step) and not isinstance(step, Mapping):
            yield f"{path}.pipeline.{number}", f"must be a dict, not {shown(step)}"
    yield from _dataset_faults(dataset.get("dataset"), f"{path}.dataset")
    inner = dataset.get("datasets")
    for number, one in enumerate(inner if isinstance(inner, (list, tuple)) else ()):
        yield from _dataset_faults(one, f"{path}.datasets.{number}")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, Mapping) else ()


def _is_plain(value: Any) -> bool:
    """Whether the value is of a config's own kinds, and no object from Python."""
    return value is None or isinstance(value, (bool, int, float, str, list, tuple, Mapping))
