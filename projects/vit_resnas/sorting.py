"""Heads and hidden channels in the order of their weights, so that leading slices hold what matters most.

The network computes the same before and after: what is moved in one layer is moved in the next. The moments
of an optimiser move with the weights (in the official code they stay where they are).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from dense3d.layers.attention import SelfAttention
from dense3d.layers.mlp import FeedForward
from dense3d.layers.transformer_block import TransformerBlock

Move = tuple[nn.Parameter, int, Tensor]  # a parameter, an axis, and the order along it


@torch.no_grad()
def sort_channels(blocks: Iterable[TransformerBlock], optimizer: torch.optim.Optimizer | None = None) -> None:
    """Sort heads and hidden channels of blocks by the L1 norms of their weights, the largest first.

    Args:
        blocks: whose attention has biases of queries, keys and values.
        optimizer: of the blocks; states of a parameter's shape move with it.
    """
    for block in blocks:
        for parameter, axis, order in (*_moves_of_heads(block.attn), *_moves_of_hidden(block.mlp)):
            states = {} if optimizer is None else optimizer.state.get(parameter, {})
            moved = [v for v in states.values() if isinstance(v, Tensor) and v.shape == parameter.shape]
            for tensor in (parameter, *moved):
                tensor.copy_(tensor.index_select(axis, order))


def _moves_of_heads(attention: SelfAttention) -> Iterator[Move]:
    heads = attention.num_heads
    rows = _norms(attention.qkv).view(3, heads, -1).sum(dim=(0, 2))
    columns = attention.proj.weight.abs().sum(dim=0).view(heads, -1).sum(dim=1)
    order = _falling(rows + columns)
    inner = attention.proj.in_features
    channels = torch.arange(inner, device=order.device).view(heads, -1)[order].flatten()
    thirds = torch.cat([channels + part * inner for part in range(3)])  # of queries, keys, values
    yield attention.qkv.weight, 0, thirds
    yield attention.qkv.bias, 0, thirds
    yield attention.proj.weight, 1, channels


def _moves_of_hidden(network: FeedForward) -> Iterator[Move]:
    order = _falling(_norms(network.fc1) + network.fc2.weight.abs().sum(dim=0))
    yield network.fc1.weight, 0, order
    yield network.fc1.bias, 0, order
    yield network.fc2.weight, 1, order


def _norms(layer: nn.Linear) -> Tensor:
    """L1 norm of what makes each output."""
    return layer.weight.abs().sum(dim=1) + layer.bias.abs()


def _falling(norms: Tensor) -> Tensor:
    return norms.sort(descending=True, stable=True).indices
