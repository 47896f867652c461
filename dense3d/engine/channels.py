"""Channel numbers that a config leaves to the backbone."""

from __future__ import annotations

import copy

import torch

from dense3d.errors import ConfigError

FROM_BACKBONE = "backbone"


def fill_channels(model_cfg: dict) -> dict:
    """A copy of a model config in which ``in_channels="backbone"`` has become the backbone's numbers.

    The backbone is built once on the meta device (no memory, no initialisation) to ask for its
    ``out_channels``. Beside ``in_index=i`` the entry becomes that map's channels, beside
    ``in_index=[i, ...]`` those maps' and otherwise the list of all of them.

    Raises:
        ConfigError: the backbone does not announce ``out_channels``.
    """
    if not _mentions(model_cfg):
        return model_cfg
    model_cfg = copy.deepcopy(model_cfg)
    _visit(model_cfg, scope="dense3d")
    return model_cfg


def _visit(node: object, scope: str) -> None:
    """Fill every model that has a backbone; one may lie inside another (a teacher, an averaged view)."""
    if isinstance(node, dict):
        scope = node.get("_scope_") or scope
        if isinstance(node.get("backbone"), dict) and _mentions(node):
            _fill(node, _channels_of(node["backbone"], scope))
        for value in node.values():
            _visit(value, scope)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _visit(value, scope)


def _channels_of(backbone_cfg: dict, scope: str) -> tuple[int, ...]:
    from mmengine.registry import MODELS, DefaultScope

    cfg = copy.deepcopy(backbone_cfg)
    cfg.pop("init_cfg", None)
    if "pretrained" in cfg:
        cfg["pretrained"] = False
    with DefaultScope.overwrite_default_scope(scope), torch.device("meta"):
        backbone = MODELS.build(cfg)
    channels = getattr(backbone, "out_channels", None)
    if channels is None:
        raise ConfigError(
            f'in_channels="{FROM_BACKBONE}" needs a backbone that announces out_channels, but '
            f"{type(backbone).__name__} does not; write the numbers, or use dense3d.TimmBackbone"
        )
    return tuple(channels)


def _mentions(node: object) -> bool:
    if isinstance(node, dict):
        return node.get("in_channels") == FROM_BACKBONE or any(_mentions(v) for v in node.values())
    return isinstance(node, (list, tuple)) and any(_mentions(v) for v in node)


def _fill(node: object, channels: tuple[int, ...]) -> None:
    if isinstance(node, dict):
        if node.get("in_channels") == FROM_BACKBONE:
            index = node.get("in_index")
            if index is None:
                node["in_channels"] = list(channels)
            elif isinstance(index, int):
                node["in_channels"] = channels[index]
            else:
                node["in_channels"] = [channels[i] for i in index]
        for value in node.values():
            _fill(value, channels)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _fill(value, channels)
