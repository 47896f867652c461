"""The classifier of an official file, for the heads of :mod:`dense3d.layers.class_heads`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# of official files, timm and transformers; the norms of mean pooling have other names than the last one
_NORMS = r"(?:norm|fc_norm|head\.norm|layernorm)"
_LINEARS = r"(?:head|head\.fc|fc|classifier)"
_RULES = (
    (rf"{_NORMS}\.(weight|bias)", r"norm.\1"),
    (rf"{_LINEARS}\.(weight|bias)", r"head.\1"),
    (r"head_dist\.(weight|bias)", r"head_dist.\1"),
)


def norm_and_linear(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``norm``, ``head`` and, of distilled networks, ``head_dist``; everything else is the backbone's.

    Args:
        official: names and tensors of a whole classifier.

    Example:
        >>> import torch
        >>> official = {"head.fc.bias": torch.ones(3), "head.norm.bias": torch.ones(2), "stem.bias": None}
        >>> list(norm_and_linear(official))
        ['head.bias', 'norm.bias']
    """
    head: dict[str, Tensor] = {}
    for name, value in official.items():
        for pattern, ours in _RULES:
            match = re.fullmatch(pattern, name)
            if match:
                head[match.expand(ours)] = value
    return head
