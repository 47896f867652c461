"""One training step and one prediction of a backbone under a head."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from dense3d.apis import build_model
from dense3d.backbones.cutting import cut_backbone
from dense3d.errors import ConfigError, TrainingError
from dense3d.registry import MODELS
from tests.compatibility.batches import detection_batch, segmentation_batch, stereo_batch, street_batch
from tests.compatibility.heads import CLASSES, THINGS, Head


def obstacle(backbone: dict, head: Head) -> str | None:
    """Why a backbone cannot stand under a head though both work, or None.

    Args:
        backbone: config, as :func:`tiny_backbones` gives it.
        head: an entry of ``heads()``.
    """
    if head.body is not None and any(backbone.get(key) != value for key, value in head.body.items()):
        return "has a body of its own"
    strides = strides_of(_fitted(backbone, head))
    if head.strides is not None and strides != head.strides:
        return "needs an adapter: maps of several strides"
    if head.cut and not _can_be_cut(backbone):
        return "works between stages, and these are no chain"
    if head.tokens and len(set(strides)) > 1:
        return "takes a plain ViT's maps"
    if head.maps == 1 and len(strides) > 1:
        return "takes one map"
    if head.maps is not None and len(strides) != head.maps:
        return f"takes {head.maps} maps"
    return None


def try_pair(backbone: dict, head: Head) -> None:
    """Train one step and predict once.

    Args:
        backbone: config, as :func:`tiny_backbones` gives it.
        head: an entry of ``heads()`` that no :func:`obstacle` keeps from it.

    Raises:
        TrainingError: the loss is not finite, no gradient reaches the backbone, or a prediction is not what
            the task asks for; what the model itself raises comes through.
    """
    torch.manual_seed(0)
    model = _build(_fitted(backbone, head), head)
    batch = _batch(head)
    optimizer = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4))
    network = model.encoder.backbone if head.task == "stereo" else model.backbone
    before = copy.deepcopy(network.state_dict())
    losses = model.train().train_step(copy.deepcopy(batch), optimizer)
    if not all(value.isfinite().all() for value in losses.values()):
        raise TrainingError(f"losses that are not finite: {', '.join(map(str, losses.items()))}")
    if all(torch.equal(before[name], p) for name, p in network.named_parameters()):
        raise TrainingError("no gradient reaches the backbone")
    with torch.no_grad():
        results = model.eval().test_step(batch)
    inputs = batch["inputs"]
    for result, image in zip(results, inputs["left"] if head.task == "stereo" else inputs, strict=True):
        _check(result, head.task, tuple(image.shape[-2:]))


def loss_of_nan(backbone: dict, head: Head) -> torch.Tensor:
    """Training loss of a model whose backbone gives nothing but NaN; what the model raises comes through.

    Args:
        backbone: config, as :func:`tiny_backbones` gives it.
        head: an entry of ``heads()`` that no :func:`obstacle` keeps from it.
    """
    torch.manual_seed(0)
    model = _build(_fitted(backbone, head), head).train()
    for parameter in model.backbone.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    losses = model(**model.data_preprocessor(_batch(head), True), mode="loss")
    return model.parse_losses(losses)[0]


def _fitted(backbone: dict, head: Head) -> dict:
    """The backbone with its last map alone where the head takes one and the backbone can be asked for it."""
    if head.maps != 1:
        return backbone
    if "out_strides" in backbone:
        return dict(backbone, out_strides=backbone["out_strides"][-1:])
    parameter = inspect.signature(MODELS.get(backbone["type"])).parameters.get("out_indices")
    if parameter is None or len(strides_of(backbone)) == 1:
        return backbone
    indices = parameter.default or range(len(strides_of(backbone)))  # None are all stages
    return dict(backbone, out_indices=tuple(indices[-1:]))


_KNOWN: dict[str, tuple[int, ...]] = {}  # some backbones take seconds to build


def strides_of(backbone: dict) -> tuple[int, ...]:
    """Strides of the maps that a backbone's config gives."""
    key = repr(backbone)
    if key not in _KNOWN:
        with DefaultScope.overwrite_default_scope("dense3d"), torch.device("meta"):
            _KNOWN[key] = tuple(MODELS.build(copy.deepcopy(backbone)).out_strides)
    return _KNOWN[key]


def _can_be_cut(backbone: dict) -> bool:
    with DefaultScope.overwrite_default_scope("dense3d"), torch.device("meta"):
        network = MODELS.build(copy.deepcopy(backbone))
    try:
        cut_backbone(network)
    except ConfigError:
        return False
    return True


def _build(backbone: dict, head: Head) -> BaseModel:
    return build_model(head.config(backbone, len(strides_of(backbone))))


def _batch(head: Head) -> dict:
    if head.task == "semantic":
        return segmentation_batch(CLASSES)
    if head.task == "3d":
        return street_batch()
    if head.task == "stereo":
        return stereo_batch()
    return detection_batch(CLASSES, THINGS if head.task == "panoptic" else None)


def _check(result: object, task: str, size: tuple[int, int]) -> None:
    """Complain about a prediction that lacks what the task asks for."""
    if task == "3d":
        if not len(result.predictions) or not np.isfinite(result.predictions.values).all():
            raise TrainingError(f"{len(result.predictions)} predicted objects, or not finite")
        found = size
    elif task == "semantic":
        found = tuple(result.pred_sem_seg.data.shape[-2:])
    elif task == "stereo":
        found = tuple(result.pred_disparity.shape[-2:])
    elif task == "panoptic":
        found = tuple(result.pred_panoptic_seg.sem_seg.shape[-2:])
    else:
        boxes = result.pred_instances.bboxes
        if boxes.shape[1:] != (4,) or not boxes.isfinite().all():
            raise TrainingError(f"predicted boxes of shape {tuple(boxes.shape)}, or not finite")
        found = tuple(result.pred_instances.masks.shape[-2:]) if task == "instance" else size
    if found != size:
        raise TrainingError(f"a prediction of {found} pixels for an image of {size}")
