"""Weights that a config would fetch for parts of a model although a checkpoint replaces them."""

from __future__ import annotations

from typing import Any


def without_pretrained(node: Any) -> Any:
    """A copy of a model's settings that fetches and reads nothing, to be filled from a complete checkpoint.

    ``pretrained`` of a part becomes false (or ``None`` where it named a file), and ``init_cfg`` loses the
    entries of type ``Pretrained``, wherever they stand.

    Example:
        >>> without_pretrained({"type": "R", "pretrained": True, "init_cfg": {"type": "Pretrained"}})
        {'type': 'R', 'pretrained': False, 'init_cfg': None}
    """
    if isinstance(node, (list, tuple)):
        return type(node)(map(without_pretrained, node)) if type(node) in (list, tuple) else node
    if not isinstance(node, dict):
        return node
    copy = type(node)({key: without_pretrained(value) for key, value in node.items()})
    if "type" in copy and copy.get("pretrained"):
        copy["pretrained"] = False if copy["pretrained"] is True else None
    if "init_cfg" in copy:
        copy["init_cfg"] = _others(copy["init_cfg"])
    return copy


def _others(init_cfg: Any) -> Any:
    if isinstance(init_cfg, (list, tuple)):
        return [item for item in init_cfg if not _is_pretrained(item)] or None
    return None if _is_pretrained(init_cfg) else init_cfg


def _is_pretrained(init_cfg: Any) -> bool:
    kind = init_cfg.get("type") if isinstance(init_cfg, dict) else None
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    return name.rpartition(".")[2] in ("Pretrained", "PretrainedInit")
