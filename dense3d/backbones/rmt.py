"""RMT: attention whose logits fall with the Manhattan distance of two tokens.

Fan et al., "RMT: Retentive Networks Meet Vision Transformers", CVPR 2024 (arXiv:2309.11523); official code:
qhfan/RMT. Where the official code keeps a mask of all pairs of tokens of the stages that attend over whole
maps, large maps are computed here by groups of rows; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from dense3d.backbones.decay_pyramid import DecayPyramid
from dense3d.backbones.stage_sizes import stage_sizes
from dense3d.errors import ConfigError
from dense3d.layers.decay_attention import DecayAttention, column_attention, row_attention, whole_attention
from dense3d.registry import MODELS

_EARLY = dict(factored=(True, True, True, False))
_DEEP = dict(depths=(4, 8, 25, 8), mlp_ratios=(4, 4, 3, 3), layer_scale_stages=(False, False, True, True))

# Released sizes.
ARCHITECTURES: dict[str, dict] = {
    "tiny": dict(
        dims=(64, 128, 256, 512),
        depths=(2, 2, 8, 2),
        num_heads=(4, 4, 8, 16),
        mlp_ratios=3,
        heads_ranges=(4, 4, 6, 6),
        factored=(True, True, False, False),
    ),
    "small": dict(
        dims=(64, 128, 256, 512),
        depths=(3, 4, 18, 4),
        num_heads=(4, 4, 8, 16),
        mlp_ratios=(4, 4, 3, 3),
        heads_ranges=(4, 4, 6, 6),
        **_EARLY,
    ),
    "base": dict(
        dims=(80, 160, 320, 512), num_heads=(5, 5, 10, 16), heads_ranges=(5, 5, 6, 6), **_EARLY, **_DEEP
    ),
    "large": dict(
        dims=(112, 224, 448, 640), num_heads=(7, 7, 14, 20), heads_ranges=(6, 6, 6, 6), **_EARLY, **_DEEP
    ),
}
_DEFAULTS = dict(init_values=2, layer_scale_stages=False)


@MODELS.register_module()
class RMT(DecayPyramid):
    """RMT, maps of strides 4, 8, 16, 32.

    Args:
        arch: a released size (``"tiny"``, ``"small"``, ``"base"``, ``"large"``), or a dict with, one value a
            stage or one for all, ``dims``, ``depths``, ``num_heads``, ``mlp_ratios``, ``factored`` (attention
            inside rows, then inside columns, instead of over the whole map), ``heads_ranges`` (b) and, where
            they differ, ``init_values`` (a, 2) and ``layer_scale_stages`` (False). The logits of head n of N
            fall by ``-ln(1 - 2 ** -(a + b n / N))`` a step.
        layer_scale: initial layer scale of the stages that have one.
        drop_path_rate: rate of the last block; it grows linearly from 0. Released: 0.1 tiny, 0.15 small,
            0.4 base, 0.5 large, for classification and dense prediction.
        token_labels: whether the classifier of :meth:`class_head` scores pixels as well, as in the models
            that were trained with token labels.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the
            down-sampling after a stage belongs to it.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, lists of different lengths, heads that do not divide the width,
            decays that are none, stages out of range.

    Example:
        >>> sizes = dict(depths=(1, 1), num_heads=2, mlp_ratios=3, heads_ranges=4, factored=(True, False))
        >>> backbone = RMT(dict(dims=(8, 16), **sizes), out_indices=(0, 1))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 5, 7)]
    """

    converters = ("rmt",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(
            arch=dict(
                dims=(16, 24, 32, 48),
                depths=(1, 1, 1, 1),
                num_heads=(2, 2, 4, 4),
                mlp_ratios=2,
                heads_ranges=(4, 4, 6, 6),
                factored=(True, True, False, False),
                layer_scale_stages=(False, False, False, True),
            ),
            layer_scale=1.0,
        )
    }

    def __init__(
        self,
        arch: str | dict = "tiny",
        layer_scale: float = 1e-6,
        drop_path_rate: float = 0.1,
        token_labels: bool = False,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = stage_sizes("RMT", arch, ARCHITECTURES, _DEFAULTS)
        self.factored, self.token_labels = sizes["factored"], token_labels
        super().__init__(
            sizes, layer_scale, drop_path_rate, in_channels, out_indices, frozen_stages, with_cp, init_cfg
        )
        for stage, *decay in zip(
            self.layers, sizes["num_heads"], sizes["init_values"], sizes["heads_ranges"]
        ):
            stage.register_buffer("decay", head_decays(*decay))
        self.freeze()

    def attention(self, dim: int, num_heads: int, stage: int) -> DecayAttention:
        """Attention inside rows and columns, or over the whole map."""
        return (FactoredDecayAttention if self.factored[stage] else WholeDecayAttention)(dim, num_heads)

    def masks(self, stage: int, x: Tensor) -> tuple[Any, ...]:
        """The decays along rows and columns of a map, or what makes those of all pairs of tokens."""
        decay, (height, width) = self.layers[stage].decay, x.shape[1:3]
        along = decays_along(decay, height), decays_along(decay, width)
        return along if self.factored[stage] else (ManhattanDecay(*along),)


class FactoredDecayAttention(DecayAttention):
    """Attention inside each row, then of the same queries and keys, applied to its result, in each column."""

    def attend(
        self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, down: Tensor, across: Tensor
    ) -> Tensor:
        """Heads ``(B, h, w, M, d)``; decays ``(M, h, h)`` and ``(M, w, w)``."""
        rows = row_attention(query, key, value, across.to(query.dtype))
        return column_attention(query, key, rows, down.to(query.dtype))


class WholeDecayAttention(DecayAttention):
    """Attention over the whole map."""

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: ManhattanDecay) -> Tensor:
        """Heads ``(B, h, w, M, d)``."""
        return whole_attention(query, key, value, mask)


class ManhattanDecay:
    """Decays between the tokens of some rows and those of the whole map.

    Blocks of a stage ask for the same ones; those asked for last are kept.

    Args:
        down, across: decays ``(M, h, h)`` along a column and ``(M, w, w)`` along a row, whose sum it is.
    """

    def __init__(self, down: Tensor, across: Tensor) -> None:
        self.down, self.across = down, across
        self._kept: tuple[tuple, Tensor] | None = None

    def __call__(self, rows: slice, dtype: torch.dtype) -> Tensor:
        """``(1, M, rows * w, h * w)`` for the tokens of ``rows``."""
        wanted = rows.start, rows.stop, dtype
        if self._kept is None or self._kept[0] != wanted:
            down = self.down[:, rows, None, :, None]  # (M, r, 1, h, 1)
            across = self.across[:, None, :, None, :]  # (M, 1, w, 1, w)
            self._kept = wanted, (down + across).to(dtype).flatten(3).flatten(1, 2)[None]
        return self._kept[1]


def head_decays(num_heads: int, init_value: float, heads_range: float) -> Tensor:
    """What a step takes from the logits of each head: ``ln(1 - 2 ** -(a + b n / N))``, ``(num_heads,)``.

    Sun et al., "Retentive Network", 2023, section 2.2, with the two constants free.

    Args:
        num_heads: N.
        init_value: a.
        heads_range: b.

    Raises:
        ConfigError: a head would have no decay between 0 and 1.

    Example:
        >>> head_decays(4, 2, 4).exp().tolist()
        [0.75, 0.875, 0.9375, 0.96875]
    """
    exponents = [init_value + heads_range * n / num_heads for n in range(num_heads)]
    if min(exponents) <= 0:
        raise ConfigError(
            f"RMT: init_values {init_value} and heads_ranges {heads_range} give a head the decay "
            "1 - 2 ** -x with x of 0 or less; give positive ones"
        )
    return torch.log(1 - 2.0 ** -torch.tensor(exponents))


def decays_along(decay: Tensor, length: int) -> Tensor:
    """``decay * |i - j|`` of the places on a line, ``(M, length, length)``.

    Example:
        >>> decays_along(torch.tensor([-1.0]), 3).tolist()
        [[[-0.0, -1.0, -2.0], [-1.0, -0.0, -1.0], [-2.0, -1.0, -0.0]]]
    """
    places = torch.arange(length, device=decay.device)
    return decay[:, None, None] * (places[:, None] - places).abs()
