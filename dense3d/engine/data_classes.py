"""The classes of a data set, from the data set itself or, before there is one, from its config."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.registry import DATASETS

from dense3d.datasets.strict import base_datasets
from dense3d.errors import DataError

# Data sets whose metainfo lists more than their samples are labelled with.
UNTOLD = {"MOTChallengeDataset"}


@dataclass(frozen=True)
class DataClasses:
    """What a data set's labels mean.

    Attributes:
        names: of the classes, in the order of the labels.
        things, stuff: names by kind, of panoptic data; otherwise all are things.
        source: the data set, for people.
    """

    names: tuple[str, ...]
    things: tuple[str, ...]
    stuff: tuple[str, ...]
    source: str

    @property
    def thing_labels(self) -> frozenset[int]:
        """Labels of things."""
        return frozenset(label for label, name in enumerate(self.names) if name in set(self.things))

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.names[:3])) + (", ..." if len(self.names) > 3 else "")
        kinds = f", {len(self.things)} things and {len(self.stuff)} stuff" if self.stuff else ""
        plural = "" if len(self.names) == 1 else "es"
        return f"{self.source} has {len(self.names)} class{plural} ({shown}{kinds})"

    @classmethod
    def of(cls, metainfo: Any, source: str) -> DataClasses | None:
        """From a data set's metainfo, under its present or its older names; None if it names no classes."""
        if not isinstance(metainfo, Mapping):
            return None
        names = metainfo.get("classes", metainfo.get("CLASSES"))
        if names is None or isinstance(names, str):
            return None
        things, stuff = (tuple(metainfo.get(key) or ()) for key in ("thing_classes", "stuff_classes"))
        if not stuff or {*things, *stuff} != set(names):
            things, stuff = tuple(names), ()
        return cls(tuple(names), things, stuff, source)


def classes_of(dataset: Any, part: str) -> DataClasses | None:
    """Classes of a built data set; of several, those that they share.

    Args:
        dataset: what a loader holds.
        part: what it is for: ``training`` ...

    Raises:
        DataError: data sets that are loaded together have different classes.
    """
    found = [
        DataClasses.of(getattr(one, "metainfo", None), f"the {part} data ({_name(one)})")
        for one in base_datasets(dataset)
        if not any(base.__name__ in UNTOLD for base in type(one).__mro__)
    ]
    known = [one for one in found if one is not None]
    for other in known[1:]:
        if other.names != known[0].names:
            raise DataError(
                f"{known[0]}, but {other}, which is loaded together with it: the same label means two "
                "things; give both the same metainfo=dict(classes=...)"
            )
    return known[0] if known else None


def classes_of_config(loaders: Mapping[str, Any]) -> DataClasses | None:
    """Classes of the first loader that tells; nothing is read but files that a type cannot do without.

    Args:
        loaders: configs of loaders, or built ones, by what they are for: ``training`` ...
    """
    for part, loader in loaders.items():
        if isinstance(loader, Mapping):
            found = _of_config(loader.get("dataset"), part)
        else:
            found = classes_of(loader.dataset, part) if hasattr(loader, "dataset") else None
        if found is not None:
            return found
    return None


def metainfo_of(dataset: Any) -> dict[str, Any] | None:
    """What a checkpoint says of the data: the metainfo, and ``category_ids``, the ids of the labels.

    Args:
        dataset: of a loader. Of several with different metainfos the first one's is taken, and ids only if
            they share them.
    """
    metainfo = getattr(dataset, "metainfo", None)
    if isinstance(metainfo, (list, tuple)):
        metainfo = metainfo[0]
    if not isinstance(metainfo, dict):
        return metainfo
    ids = [getattr(one, "cat_ids", None) for one in base_datasets(dataset)]
    agree = ids[0] is not None and all(other == ids[0] for other in ids)
    if agree and len(ids[0]) == len(metainfo.get("classes") or ()):
        return {**metainfo, "category_ids": list(ids[0])}
    return metainfo


def plain_name(name: Any) -> str:
    """A class's name without what spellings differ in.

    Example:
        >>> plain_name("Traffic_light") == plain_name("traffic light")
        True
    """
    return re.sub(r"[\W_]+", "", str(name)).casefold() or str(name)


def _of_config(cfg: Any, part: str, scope: str | None = None) -> DataClasses | None:
    if not isinstance(cfg, Mapping):
        return classes_of(cfg, part) if cfg is not None else None
    scope = cfg.get("_scope_") or scope
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else [])
    if inner:
        return next((found for one in inner if (found := _of_config(one, part, scope))), None)
    with DATASETS.switch_scope_and_registry(scope) as registry:
        kind = registry.get(cfg["type"]) if isinstance(cfg["type"], str) else cfg["type"]
        if not hasattr(kind, "_load_metainfo"):
            return None
        metainfo = kind._load_metainfo(cfg.get("metainfo"))
        own = inspect.signature(kind.__init__).parameters.get("classes")
        if hasattr(kind, "classes_of_settings"):  # the names of folders
            metainfo["classes"] = kind.classes_of_settings(cfg)
        elif own is not None:
            metainfo["classes"] = cfg.get("classes", own.default)
        if any(base.__name__ in UNTOLD for base in kind.__mro__):
            return None
        panoptic = any("PanopticDataset" in base.__name__ for base in kind.__mro__)
        if panoptic and _kinds_are_in_the_file(metainfo):
            settings = {k: v for k, v in cfg.items() if k not in ("_scope_", "skip_bad_samples")}
            try:
                with torch.device("cpu"):  # a model may be built on another one
                    dataset = registry.build({**copy.deepcopy(settings), "pipeline": []})
            except DataError:  # the data are not here; who needs them says so
                return None
            metainfo = dataset.metainfo
    return DataClasses.of(metainfo, f"the {part} data ({cfg.get('ann_file') or kind.__name__})")


def _kinds_are_in_the_file(metainfo: Mapping[str, Any]) -> bool:
    """Whether only the file of a panoptic data set tells which of its classes are things."""
    kinds = {*metainfo.get("thing_classes", ()), *metainfo.get("stuff_classes", ())}
    return kinds != set(metainfo.get("classes", ()))


def _name(dataset: Any) -> str:
    return str(getattr(dataset, "ann_file", "") or type(dataset).__name__.removeprefix("Strict"))
