"""Official classifiers into :class:`dense3d.classification.ImageClassifier`, whole or as a start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmengine.logging import print_log
from torch import Tensor, nn

from dense3d.backbones.timm_backbone import TimmBackbone
from dense3d.checkpoints import convert_head
from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.pretrained import best_conversion, unwrapped
from dense3d.errors import CheckpointError

if TYPE_CHECKING:
    from dense3d.classification.classifier import ImageClassifier

State = dict[str, Tensor]


def start_head(head: nn.Module, backbone: nn.Module, path: str | os.PathLike) -> None:
    """Load what of a backbone's checkpoint is a head's and fits it; what does not is logged.

    Args:
        head: of the model.
        backbone: whose converters know the file.
        path: an official file, or a checkpoint of ours.
    """
    from dense3d.engine.checkpoint import load_checkpoint

    loaded, own = load_checkpoint(path), head.state_dict()
    found = _own_head(loaded) or _head_of(backbone, unwrapped(loaded))
    fitting = {n: v for n, v in found.items() if n in own and v.shape == own[n].shape}
    head.load_state_dict(fitting, strict=False)
    fresh = sorted(set(own) - set(fitting))
    if fresh:
        other = {n: len(found[n]) for n in fresh if n in found}
        why = f", of which the file has {next(iter(other.values()))} classes" if other else ""
        print_log(f"{path}: the head's {', '.join(fresh)}{why}: start anew", "current")


def official_classifier(model: ImageClassifier, checkpoint: dict[str, Any], path: object) -> dict[str, Any]:
    """A checkpoint of ours as it is; an official one in our names.

    Args:
        model: what it is for.
        checkpoint: content of the file.
        path: for messages.

    Raises:
        CheckpointError: the file has no classifier, or one of another number of classes.
    """
    state, own = _named(checkpoint), set(model.state_dict())
    if not state or 2 * len(own & set(state)) >= len(state) or any(n.startswith("backbone.") for n in state):
        return checkpoint
    bare = unwrapped(checkpoint)
    backbone, head = _converted(model.backbone, bare), _head_of(model.backbone, bare)
    if backbone is None:
        return checkpoint
    if not model.has_official_head or not any(value.dim() == 2 for value in head.values()):
        raise CheckpointError(
            f"{path} is the file of a backbone without the classifier of this model: train from it with "
            "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    classes = [len(value) for name, value in head.items() if name.endswith("head.bias") or name == "bias"]
    if classes and classes[-1] != model.num_classes:
        raise CheckpointError(
            f"{path} tells {classes[-1]} classes apart, but the model {model.num_classes}: set "
            f"model.num_classes={classes[-1]}, or train from the file with "
            "model.backbone.init_cfg.checkpoint"
        )
    named = {f"backbone.{name}": value for name, value in backbone.items()}
    return {"state_dict": named | {f"head.{name}": value for name, value in head.items()}, "meta": {}}


def _named(checkpoint: Mapping[str, Any]) -> State:
    """Tensors under the names of the file, without a parallel wrapper's prefix."""
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping):
        return {}
    for key in ("model", "model_ema", "model_state_dict"):
        state = state[key] if isinstance(state.get(key), Mapping) else state
    return {n.removeprefix("module."): v for n, v in state.items() if isinstance(v, Tensor)}


def _own_head(checkpoint: Mapping[str, Any]) -> State:
    """The head of a checkpoint of :class:`ImageClassifier`, whose backbone lies beside it."""
    state = _named(checkpoint)
    if not any(name.startswith("backbone.") for name in state):
        return {}
    return {name.removeprefix("head."): v for name, v in state.items() if name.startswith("head.")}


def _converted(backbone: nn.Module, official: State) -> State | None:
    """The backbone of an official file in our names; None if no converter knows the file."""
    if isinstance(backbone, TimmBackbone):
        return {f"body.{name}": value for name, value in backbone.part_of(official).items()}
    own = set(backbone.state_dict())
    found, _ = best_conversion(official, getattr(backbone, "converters", ()), own)
    if found is None:
        return None
    adapted = backbone.adapt(found[1]) if hasattr(backbone, "adapt") else found[1]
    # norms of maps are no part of a classifier
    return {n: v for n, v in adapted.items() if n in own or not n.startswith("norm")}


def _head_of(backbone: nn.Module, official: State) -> State:
    """The classifier of an official file, in the names of the backbone's ``class_head``."""
    if isinstance(backbone, TimmBackbone):
        head = norm_and_linear(official)
        return {n.removeprefix("head."): v for n, v in head.items() if n.startswith("head.")}
    found, _ = best_conversion(official, getattr(backbone, "converters", ()), backbone.state_dict())
    if found is None:
        return norm_and_linear(official)
    try:
        return convert_head(found[0], official)
    except CheckpointError:  # a file of a backbone alone
        return {}
