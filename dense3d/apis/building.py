"""A model from a config, ready to be used."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseTTAModel
from mmengine.registry import DefaultScope
from torch import nn

from dense3d.config import check_config, load_config, mark_scopes
from dense3d.config.building import explained_building
from dense3d.engine.channels import fill_channels
from dense3d.engine.checkpoint import adapted, dataset_meta_of, load_checkpoint, load_into, weights_of
from dense3d.engine.class_counts import fill_classes
from dense3d.engine.data_classes import DataClasses, classes_of_config
from dense3d.engine.finite import refuse_non_finite
from dense3d.engine.pretrained import without_pretrained
from dense3d.errors import ConfigError
from dense3d.registry import MODELS, SCOPE

PARTS = {"training": "train", "validation": "val", "test": "test"}


def build_model(
    config: str | Path | Config | Mapping[str, Any],
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Build the model that a config describes.

    Channel numbers that the config leaves to the backbone are filled in, and numbers of classes that it
    leaves out: those of the checkpoint's data or else of the config's data sets. Names are looked up in the
    config's scope, and the config's ``data_preprocessor`` goes into the model.

    Args:
        config: config file, name of a config, loaded config, or a model's settings alone (``cfg.model``). It
            is not changed.
        checkpoint: file with all weights. Then nothing that the config would fetch for parts of the model is
            fetched, the model is in evaluation mode, and its attribute ``dataset_meta`` holds what the file
            says of its data set (``classes``, ...). Without a file the weights are those that training
            starts from, pretrained parts included, and the model is in training mode.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; where torch puts new tensors by default.

    Raises:
        ConfigError: the config is faulty or describes no model, or there is no such device.
        CheckpointError: the file is missing, damaged, unsafe, or belongs to another model.

    Example:
        >>> model = build_model("dino_r18_synthetic-coco")
        >>> type(model).__name__, model.training
        ('DINO', True)
    """
    if isinstance(config, Mapping):
        settings = ConfigDict(copy.deepcopy(dict(config)))
        mark_scopes(settings, SCOPE)
        return _built(settings, SCOPE, checkpoint, device, {})
    return build_checked(checked_config(config), checkpoint, device)


def build_checked(
    cfg: Config, checkpoint: str | Path | None = None, device: str | torch.device | None = None
) -> nn.Module:
    """:func:`build_model` of what :func:`checked_config` gave; what is in the config may be changed."""
    settings = cfg.get("model")
    if not isinstance(settings, dict):
        raise ConfigError(f"{cfg.filename or 'the config'} describes no model: it has no dict 'model'")
    if "data_preprocessor" not in settings and cfg.get("data_preprocessor"):
        settings.data_preprocessor = cfg.data_preprocessor
    loaders = {part: cfg.get(f"{key}_dataloader") for part, key in PARTS.items()}
    with explained_building(cfg):
        return _built(settings, cfg.get("default_scope") or SCOPE, checkpoint, device, loaders)


def build_trained(cfg: Config, checkpoint: str | Path | None, device: str | torch.device | None) -> nn.Module:
    """:func:`build_checked` for predictions: with a checkpoint's weights, or a model that has none.

    Raises:
        ConfigError, CheckpointError: see :func:`build_model` and :func:`require_no_weights`.
    """
    if checkpoint is not None:
        return build_checked(cfg, checkpoint, device)
    require_no_weights(cfg)
    model = build_checked(cfg, None, device).eval()
    model.dataset_meta = {}
    return model


def require_no_weights(cfg: Config) -> None:
    """See that the model of a config can do without a checkpoint.

    Raises:
        ConfigError: it has weights.
    """
    with torch.device("meta"):  # where weights take neither memory nor time
        model = build_checked(copy.deepcopy(cfg))
    if next(model.parameters(), None) is not None:
        raise ConfigError(
            f"{cfg.filename or 'the config'}: {type(model).__name__} has weights: give a checkpoint (only "
            "models without any, such as SemiGlobalMatching, take none)"
        )


def checked_config(config: str | Path | Config, options: dict[str, Any] | None = None) -> Config:
    """A config of one's own that has no faults.

    Args:
        config: config file, name of a config, or loaded config, which is copied.
        options: settings that override a file's, by dotted key.

    Raises:
        ConfigError: see :func:`dense3d.config.load_config` and :func:`dense3d.config.check_config`.
    """
    cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config, options)
    check_config(cfg)
    return cfg


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; without one the GPU, if there is one.

    Raises:
        ConfigError: it is no device's name, or this machine has no such device.

    Example:
        >>> usable_device("cpu")
        device(type='cpu')
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" has no memory to take a number from
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the device {name!s} cannot be used ({reason}); there are {', '.join(there)}"
        ) from error
    return device


def _built(
    settings: ConfigDict,
    scope: str,
    checkpoint: str | Path | None,
    device: str | torch.device | None,
    loaders: Mapping[str, Any],
) -> nn.Module:
    device = usable_device(device) if device is not None else None
    loaded = load_checkpoint(checkpoint) if checkpoint is not None else None
    if loaded is not None:
        settings = without_pretrained(settings)
    metainfo = dataset_meta_of(loaded)
    trained = DataClasses.of(metainfo, f"the data of {checkpoint}")
    with DefaultScope.overwrite_default_scope(scope):
        settings = fill_classes(fill_channels(settings), lambda: trained or classes_of_config(loaders))
        model = MODELS.build(settings)
    if loaded is not None:
        bare = model.module if isinstance(model, BaseTTAModel) else model
        loaded = adapted(bare, loaded, checkpoint)
        load_into(bare, weights_of(loaded, checkpoint), source=str(checkpoint))
        refuse_non_finite(bare, checkpoint)
        model.dataset_meta = dataset_meta_of(loaded)
        model.eval()
    elif not any(parameter.is_meta for parameter in model.parameters()):
        with _without_reports():
            model.init_weights()
    return model if device is None else model.to(device)


@contextmanager
def _without_reports() -> Iterator[None]:
    """mmengine would report on the start of each parameter."""
    disabled = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(disabled)
