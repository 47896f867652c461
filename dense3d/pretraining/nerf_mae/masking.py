"""Which blocks of tokens of a radiance grid are hidden."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dense3d.errors import ConfigError

MASKS = ("random", "grid", "block")
Sides = tuple[int, int, int]


def block_mask(
    blocks: Sides, ratio: float, kind: str = "random", random: np.random.RandomState | None = None
) -> Tensor:
    """Draw which blocks are hidden.

    Args:
        blocks: number of blocks along each axis.
        ratio: probability of a block to be hidden, each by itself, so that the share varies; of ``"random"``
            alone.
        kind: ``"random"``; ``"grid"``, three of every four in a row, the fourth is seen; or ``"block"``,
            three times a quarter of all, the first that are still seen behind a random place on the first
            axis. The released code knows the three and always draws ``"random"``.
        random: NumPy's global generator unless given.

    Returns:
        ``(X, Y, Z)`` bool on the CPU, true for hidden.

    Raises:
        ConfigError: an unknown kind.

    Example:
        >>> block_mask((1, 1, 8), 0.75, "grid").int().tolist()
        [[[1, 1, 1, 0, 1, 1, 1, 0]]]
    """
    random = random or np.random
    if kind not in MASKS:
        raise ConfigError(f"mask_type={kind!r}: use one of {', '.join(map(repr, MASKS))}")
    if kind == "random":
        return torch.from_numpy(random.random_sample(blocks) < ratio)
    count = int(np.prod(blocks))
    if kind == "grid":
        return torch.from_numpy((np.arange(count) % 4 != 3).reshape(blocks))
    mask, first = np.zeros(count, bool), np.arange(count) // (blocks[1] * blocks[2])
    for _ in range(3):
        start = random.randint(0, max(int(0.75 * blocks[0]), 1))
        mask[np.flatnonzero((first > start) & ~mask)[: count // 4]] = True
    return torch.from_numpy(mask.reshape(blocks))


def mask_of_tokens(mask: Tensor, tokens: Sides, block: int) -> Tensor:
    """Hidden tokens of hidden blocks; those behind the last whole block are never hidden.

    Args:
        mask: ``(X, Y, Z)`` bool of blocks, or ``(B, X, Y, Z)``.
        tokens: along each axis.
        block: tokens of a block along each axis.

    Returns:
        ``(*tokens)`` bool, or ``(B, *tokens)``.

    Example:
        >>> mask_of_tokens(torch.tensor([[[True]]]), (2, 2, 3), 2)[0].tolist()
        [[True, True, False], [True, True, False]]
    """
    return repeated(mask, (block,) * 3, tokens)


def mask_of_scene(shape: Sides, tokens: Sides, patch: int, block: int, ratio: float, kind: str) -> Tensor:
    """Hidden tokens of one scene, the same every time and however far its batch pads it.

    The blocks are those that the scene itself reaches into; one that it ends in is hidden as far as it goes.

    Args:
        shape: voxels of the scene along each axis, without padding.
        tokens: of the padded grid.
        patch: voxels of a token along each axis.
        block: tokens of a block along each axis.
        ratio, kind: see :func:`block_mask`.

    Returns:
        ``(*tokens)`` bool.

    Example:
        >>> small, large = (mask_of_scene((20, 16, 16), (n, 4, 4), 4, 4, 0.75, "random") for n in (5, 8))
        >>> torch.equal(small, large[:5]), large[5:].any().item()
        (True, False)
    """
    own = tuple(-(-side // patch) for side in shape)
    blocks = tuple(-(-side // block) for side in own)
    mask = block_mask(blocks, ratio, kind, np.random.RandomState(0))
    return repeated(repeated(mask, (block,) * 3, own), (1, 1, 1), tokens)


def repeated(mask: Tensor, factors: Sides, sides: Sides) -> Tensor:
    """A mask whose cells become boxes of ``factors`` cells, in a volume of ``sides``; cut, false beyond."""
    for axis, factor in zip((-3, -2, -1), factors):
        mask = mask.repeat_interleave(factor, axis)
    x, y, z = (side - n for side, n in zip(sides, mask.shape[-3:]))
    return torch.nn.functional.pad(mask, (0, z, 0, y, 0, x))
