"""SG-Former's attentions: one that finds out which tokens matter, one whose keys keep those that do.

Ren et al., "SG-Former: Self-guided Transformer with Evolving Token Reallocation", ICCV 2023. All take and
give channels-last maps and the significance of their tokens, ``(B, h * w)`` in row-major order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.attention import from_windows, to_windows
from dense3d.layers.depthwise_mlp import DepthwiseConv
from dense3d.layers.patch_embed import Grid

WINDOW = 7
# reduction -> sizes of the bags that the tokens of least, medium and most significance are merged from
BAGS: dict[int, tuple[int, ...]] = {8: (196, 56, 28), 4: (49, 14, 7), 2: (2, 1)}


class EnhancedAttention(nn.Module):
    """Queries, local enhancement and output projection around :meth:`attend`: attention of all tokens.

    Args:
        dim: channels C.
        num_heads: M, a divisor of ``dim``.
        qkv_bias: whether queries, keys and values have biases.

    Shape:
        map ``(B, h, w, dim)`` to the same, and a significance or None.

    Raises:
        ConfigError: ``dim`` is no multiple of ``num_heads``.

    Example:
        >>> EnhancedAttention(8, 2)(torch.zeros(2, 3, 4, 8), None)[0].shape
        torch.Size([2, 3, 4, 8])
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        self.head_dim = dim // num_heads
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.lepe_linear = nn.Linear(dim, dim)
        self.lepe_conv = DepthwiseConv(dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, significance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attention of a map with itself; the significance that the next block is given."""
        query = self.heads(self.q(x).flatten(1, 2))  # (B, M, N, d)
        attended, found = self.attend(x, query, significance)
        attended = attended.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3])  # (B, h, w, C)
        return self.proj(attended + self.lepe_conv(self.lepe_linear(x))), found

    def attend(self, x: Tensor, query: Tensor, significance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attention of heads ``(B, M, N, d)``, and the significance that it finds."""
        key, value = self.kv(x.flatten(1, 2)).chunk(2, dim=-1)
        return F.scaled_dot_product_attention(query, self.heads(key), self.heads(value)), None

    def heads(self, tokens: Tensor) -> Tensor:
        """``(B, N, heads * d)`` to ``(B, heads, N, d)``."""
        return tokens.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class HybridAttention(EnhancedAttention):
    """Half of the heads attend to a reduced map, half inside windows; both tell which tokens are attended to.

    Rows and columns that fill no whole cell of the reduced map have no part in it, as in the official code.
    Its maps are of whole windows; here, windows at the border are filled up and the filling is masked.

    Args:
        dim, num_heads, qkv_bias: as in :class:`EnhancedAttention`; an even number of heads.
        reduction: r, tokens on a side of a cell.

    Raises:
        ConfigError: the number of heads is odd.

    Example:
        >>> x, significance = HybridAttention(8, 2, reduction=2)(torch.zeros(2, 5, 8, 8), None)
        >>> x.shape, significance.shape
        (torch.Size([2, 5, 8, 8]), torch.Size([2, 40]))
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True, *, reduction: int) -> None:
        super().__init__(dim, num_heads, qkv_bias)
        if num_heads % 2:
            raise ConfigError(f"{num_heads} heads: half of them attend inside windows, choose an even number")
        self.reduction = reduction
        self.sr = nn.Conv2d(dim, dim, reduction, reduction)
        self.norm = nn.LayerNorm(dim)
        self.kv = nn.Linear(dim, dim, bias=qkv_bias)  # of the reduced map
        self.window_kv = nn.Linear(dim, dim, bias=qkv_bias)

    def attend(self, x: Tensor, query: Tensor, significance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attention of heads ``(B, M, N, d)``, and the sum of the significances of both halves."""
        whole, window = query.chunk(2, dim=1)
        whole, from_cells = self._to_cells(x, whole)
        window, from_window = self._in_windows(x, window)
        return torch.cat([whole, window], dim=1), (from_cells + from_window).detach()

    def _to_cells(self, x: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        grid = x.shape[1:3]
        lacking = [max(0, self.reduction - side) for side in grid]  # of the first cell
        x = F.pad(x.permute(0, 3, 1, 2), (0, lacking[1], 0, lacking[0]))
        cells = self.sr(x)  # (B, C, h / r, w / r)
        reduced = F.gelu(self.norm(cells.flatten(2).transpose(1, 2)))
        key, value = (self.heads(part) for part in self.kv(reduced).chunk(2, dim=-1))
        weights = (query @ key.transpose(2, 3) * self.head_dim**-0.5).softmax(-1)  # (B, M / 2, N, cells)
        received = weights.detach().mean(dim=(1, 2)).unflatten(1, cells.shape[2:])[:, None]
        return weights.to(value.dtype) @ value, F.interpolate(received, size=grid).flatten(1)

    def _in_windows(self, x: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        grid = (x.shape[1], x.shape[2])
        key, value = (self.heads(part) for part in self.window_kv(x.flatten(1, 2)).chunk(2, dim=-1))
        query, key, value = (to_windows(part, grid, WINDOW) for part in (query, key, value))
        logits = query @ key.transpose(2, 3) * self.head_dim**-0.5  # (B * W, M / 2, 49, 49)
        real = self._real(grid, query)
        if real is not None:
            logits = logits.masked_fill(~real.transpose(2, 3), -torch.inf)
        weights = logits.softmax(-1)
        received = weights.detach().mean(dim=1, keepdim=True)  # (B * W, 1, 49 queries, 49 keys)
        if real is None:
            received = received.mean(dim=2)
        else:
            received = (received * real).sum(dim=2) / real.sum(dim=2)
        received = from_windows(received[..., None], grid, WINDOW)  # (B, 1, N, 1)
        return from_windows(weights.to(value.dtype) @ value, grid, WINDOW), received.flatten(1)

    @staticmethod
    def _real(grid: Grid, query: Tensor) -> Tensor | None:
        """Which tokens of the windows ``(B * W, 1, 49, 1)`` are not filling; None where all are real."""
        if not any(side % WINDOW for side in grid):
            return None
        real = to_windows(query.new_ones(1, 1, grid[0] * grid[1], 1), grid, WINDOW) > 0
        return real.repeat(len(query) // len(real), 1, 1, 1)


class GuidedAttention(EnhancedAttention):
    """Keys and values are few: tokens in order of significance, merged in bags, large ones of the least.

    The official code orders the tokens twice, from a row-major and a column-major list of the same
    significances, which is twice the same order; here that is done once.

    Args:
        dim, num_heads, qkv_bias: as in :class:`EnhancedAttention`.
        reduction: a key of :data:`BAGS`.

    Example:
        >>> attention = GuidedAttention(8, 2, reduction=4)
        >>> attention(torch.zeros(2, 5, 8, 8), torch.rand(2, 40))[0].shape
        torch.Size([2, 5, 8, 8])
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = True, *, reduction: int) -> None:
        super().__init__(dim, num_heads, qkv_bias)
        self.mergers = nn.ModuleList(nn.Linear(bag, 1) for bag in BAGS[reduction])

    def attend(self, x: Tensor, query: Tensor, significance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attention of heads ``(B, M, N, d)`` to the merged tokens; the significance is used up."""
        key, value = self.kv(self.merge(x.flatten(1, 2), significance)).chunk(2, dim=-1)
        return F.scaled_dot_product_attention(query, self.heads(key), self.heads(value)), None

    def merge(self, tokens: Tensor, significance: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` in order of significance, a bag to one: ``(B, keys, C)``."""
        order = significance.argsort(dim=1)
        bags = [merger.in_features for merger in self.mergers]
        merged = []
        for merger, places in zip(self.mergers, bag_places(tokens.shape[1], bags, tokens.device)):
            if len(places) == 0:
                continue
            chosen = order[:, places.flatten(), None].expand(-1, -1, tokens.shape[2])
            bag = tokens.gather(1, chosen).unflatten(1, places.shape)  # (B, bags, tokens of a bag, C)
            merged.append(merger(bag.transpose(2, 3))[..., 0])
        return torch.cat(merged, dim=1)


def bag_places(count: int, bags: list[int], device: torch.device | str | None = None) -> list[Tensor]:
    """Ranks of the tokens in each bag, bags of one size together.

    Of three sizes, the first is for the least significant quarter, the second for the middle half and the
    third for the rest; of two, each is for a half. A bag that the tokens of its part do not fill takes the
    last of them several times; in the official code, all have to be full.

    Args:
        count: tokens.
        bags: tokens of a bag of each size.
        device: of the results.

    Returns:
        for each size, ``(number of bags, size)``.

    Example:
        >>> [places.tolist() for places in bag_places(10, [4, 2])]
        [[[0, 1, 2, 3], [4, 4, 4, 4]], [[5, 6], [7, 8], [9, 9]]]
    """
    ends = [count // 2, count] if len(bags) == 2 else [count // 4, count - count // 4, count]
    places, start = [], 0
    for end, bag in zip(ends, bags):
        number = -(-(end - start) // bag)
        ranks = start + torch.arange(number * bag, device=device).clamp(max=max(end - start - 1, 0))
        places.append(ranks.view(number, bag))
        start = end
    return places
