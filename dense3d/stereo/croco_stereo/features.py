"""From the tokens of CroCo's blocks to a map of pixels: which blocks a DPT head reads, and the head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.dpt import DPTHead
from dense3d.layers.patch_embed import Grid, tokens_to_map

_STEPS = {8: 3, 12: 4, 24: 8}  # of hooks, by the number of decoder blocks
# Options of the official head beside those that its stereo and flow models use, none of which was published.
_OFFICIAL = {"head_type": "regression", "output_width_ratio": 1, "use_bn": False}


def decoder_hooks(enc_depth: int, dec_depth: int) -> tuple[int, ...]:
    """Blocks that the head of a network with a decoder reads; encoder blocks are counted first.

    They end with the last decoder block and lie 3, 4 or 8 blocks apart for 8, 12 or 24 of them. With 12 or 24
    the first is the last encoder block, after its norm; with 8 it is the last but one, ``enc_depth - 2``.

    Raises:
        ConfigError: the decoder has another number of blocks, for which the official code has no rule.

    Example:
        >>> decoder_hooks(24, 12), decoder_hooks(12, 8)
        ((23, 27, 31, 35), (10, 13, 16, 19))
    """
    if dec_depth not in _STEPS:
        raise ConfigError(
            f"a decoder of {dec_depth} blocks has no default hooks (8, 12 and 24 have): give hooks, four of "
            f"the numbers from 0 to {enc_depth + dec_depth - 1}"
        )
    last, step = enc_depth + dec_depth - 1, _STEPS[dec_depth]
    return tuple(last - i * step for i in (3, 2, 1, 0))


def encoder_hooks(enc_depth: int) -> tuple[int, ...]:
    """Blocks that the head of an encoder alone reads: its last, and three at steps of a quarter before it.

    Raises:
        ConfigError: the encoder has fewer than four blocks.

    Example:
        >>> encoder_hooks(12)
        (2, 5, 8, 11)
    """
    if enc_depth < 4:
        raise ConfigError(f"an encoder of {enc_depth} blocks has no default hooks: give hooks, four of them")
    return tuple(enc_depth - 1 - i * (enc_depth // 4) for i in (3, 2, 1, 0))


class DenseTokens(nn.Module):
    """A DPT head on the tokens of four blocks.

    Args:
        channels: of the tokens of each block that there is.
        hooks: four numbers of blocks, ascending.
        out_channels: of the result.
        head: arguments of :class:`dense3d.layers.DPTHead` instead of CroCo's.

    Raises:
        ConfigError: hooks are not four numbers of blocks, or the head has an official option that there is
            not here: ``head_type`` other than regression, ``output_width_ratio`` other than 1, ``use_bn``.

    Example:
        >>> import torch
        >>> head = DenseTokens([8] * 4, (0, 1, 2, 3), 2, dict(hidden_channels=(4, 4, 8, 8), channels=4))
        >>> head([torch.rand(1, 6, 8)] * 4, (2, 3), (32, 48)).shape
        torch.Size([1, 2, 32, 48])
    """

    def __init__(
        self, channels: Sequence[int], hooks: Sequence[int], out_channels: int, head: dict | None = None
    ) -> None:
        super().__init__()
        hooks = tuple(hooks)
        whole = all(isinstance(hook, int) and 0 <= hook < len(channels) for hook in hooks)
        if len(hooks) != 4 or not whole or list(hooks) != sorted(set(hooks)):
            raise ConfigError(
                f"hooks={hooks}: name four different blocks in their order, from 0 to {len(channels) - 1}"
            )
        self.hooks = hooks
        settings = dict(hidden_channels=(96, 192, 384, 768), channels=256, last_channels=32)
        settings |= {key: value for key, value in (head or {}).items() if key != "type"}
        for name, value in _OFFICIAL.items():
            if settings.pop(name, value) != value:
                raise ConfigError(
                    f"the head has {name}={head[name]!r}, but there is only {name}={value!r}, which CroCo's "
                    "stereo and flow models have: leave it out"
                )
        fixed = sorted({"in_channels", "out_channels", "nonnegative"} & set(settings))
        if fixed:
            raise ConfigError(f"{fixed[0]} of the head follows from the network and the task: leave it out")
        widths = [channels[hook] for hook in hooks]
        self.dpt = DPTHead(widths, out_channels=out_channels, nonnegative=False, **settings)

    def forward(self, tokens: Sequence[Tensor], grid: Grid, size: tuple[int, int]) -> Tensor:
        """``(B, out_channels, *size)`` from the tokens ``(B, N, D)`` of all blocks."""
        return self.dpt([tokens_to_map(tokens[hook], grid) for hook in self.hooks], size)
