"""Networks of a space as masks over the channels of the largest one, another for each group of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from projects.vit_resnas.space import Network, SearchSpace


class BlockMasks(NamedTuple):
    """What of a block takes part: heads ``(B, M, 1, 1)``, hidden ``(B, 1, H)``, the block ``(B, 1, 1)``."""

    heads: Tensor
    hidden: Tensor
    exists: Tensor


class Masks(NamedTuple):
    """Of a batch: for each stage its channels ``(B, 1, C)``, and its blocks."""

    dims: list[Tensor]
    blocks: list[list[BlockMasks]]


def draw(space: SearchSpace, count: int, share: float = 1.0) -> list[Network]:
    """Networks at random by torch's generator, as alike in number of each choice as can be.

    Every gene goes through its choices in turn, in an order of its own.

    Args:
        space: to draw from.
        count: networks.
        share: of warm-up that is over, from 0, the largest network alone, to 1, all choices; the larger ones
            come first.
    """
    columns = []
    for gene in space.genes:
        options = gene.drawn
        options = options[: 1 + int(share * (len(options) - 1) + 1e-9)]
        cycles = -(-count // len(options))
        columns.append(torch.tensor(options * cycles)[torch.randperm(len(options) * cycles)[:count]])
    return [space.settled(row) for row in torch.stack(columns, dim=1).tolist()]


def masks_of(space: SearchSpace, networks: Sequence[Network], batch: int, device: torch.device) -> Masks:
    """Masks for images that take turns with the networks: image i has network ``i % len(networks)``."""
    table = torch.tensor(networks, device=device)  # (G, genes)
    columns = iter(table[torch.arange(batch, device=device) % len(networks)].unbind(1))
    dims, blocks = [], []
    for stage in space.stages:
        dims.append(_prefix(next(columns), stage.dims[0])[:, None])
        blocks.append([])
        for _ in stage.removable:
            heads, hidden = _prefix(next(columns), stage.heads[0]), _prefix(next(columns), stage.hidden[0])
            exists = next(columns)[:, None, None] > 0
            blocks[-1].append(BlockMasks(heads[:, :, None, None], hidden[:, None], exists))
    return Masks(dims, blocks)


def _prefix(counts: Tensor, size: int) -> Tensor:
    """``(B,)`` to ``(B, size)``, true for the first channels."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def masked_layer_norm(x: Tensor, norm: nn.LayerNorm, mask: Tensor | None) -> Tensor:
    """Layer norm whose mean and variance are those of the channels in the mask.

    Means over all channels, of which the others are zero, are divided by the share of those that count.

    Args:
        x: ``(B, N, C)``, zero outside of the mask.
        norm: its weight, bias and epsilon.
        mask: ``(B, 1, C)``; None for the norm as it is.

    Returns:
        ``(B, N, C)``, zero outside of the mask.

    Example:
        >>> x, mask = torch.tensor([[[1.0, 3.0, 0.0]]]), torch.tensor([[[True, True, False]]])
        >>> masked_layer_norm(x, nn.LayerNorm(3, eps=0.0), mask).tolist()
        [[[-1.0, 1.0, 0.0]]]
    """
    if mask is None:
        return norm(x)
    with torch.autocast(x.device.type, enabled=False):
        values, share = x.float(), mask.float().mean(dim=2, keepdim=True)
        centred = (values - values.mean(dim=2, keepdim=True) / share) * mask
        variance = centred.square().mean(dim=2, keepdim=True) / share
        normed = centred * (variance + norm.eps).rsqrt() * norm.weight.float() + norm.bias.float()
    return (normed * mask).to(x.dtype)
