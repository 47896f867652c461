"""How deep each parameter of a timm network lies, by timm's own grouping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from dense3d.errors import ConfigError
from dense3d.optional import require


@dataclass(frozen=True)
class Depths:
    """Depths of a network's parameters.

    Attributes:
        ids: parameter name -> depth, 0 at the stem; final norms count with the head, ``num_layers + 1``.
        num_layers: depth of the last block.
        undecayed: names that timm keeps from weight decay.
    """

    ids: dict[str, int]
    num_layers: int
    undecayed: set[str]


def timm_depths(model_name: str, model_kwargs: dict, own_names: Iterable[str]) -> Depths:
    """Depths of the parameters of a ``features_only`` network.

    Such a network has lost the grouping of its family: the whole network, built without memory, is asked.

    Args:
        model_name: timm's name.
        model_kwargs: further arguments of the network.
        own_names: parameter names of the ``features_only`` network, which spells some of them otherwise.

    Raises:
        ConfigError: the family does not group its parameters.
    """
    require("timm", "layer-wise decay")
    from timm.models import group_parameters

    whole = _without_memory(model_name, model_kwargs)
    if not hasattr(whole, "group_matcher"):
        raise ConfigError(
            f"timm's {model_name} does not say how deep its parameters lie: no layer-wise decay"
        )
    official = group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
    undecayed = set(getattr(whole, "no_weight_decay", set)())
    head = max(official.values())
    ids, kept = {}, set()
    for name in own_names:
        spellings = (name, name.replace("_", ".", 1), name.removeprefix("model."))
        theirs = next((spelling for spelling in spellings if spelling in official), None)
        ids[name] = head if theirs is None else official[theirs]
        if theirs in undecayed:
            kept.add(name)
    return Depths(ids, head - 1, kept)


def _without_memory(model_name: str, model_kwargs: dict) -> nn.Module:
    import timm

    name = model_name.split(".")[0]
    try:
        with torch.device("meta"):
            return timm.create_model(name, pretrained=False, **model_kwargs)
    except (RuntimeError, NotImplementedError):  # it computes with values while it is built
        return timm.create_model(name, pretrained=False, **model_kwargs)
