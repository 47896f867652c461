"""Attentions of the research backbones step by step, as their official codes go: what ours are timed beside.

Each function stands in for a method of a module of ours and works on its weights: softmax over all logits
written out, windows cut and put back, chunks and regions in loops, one linear layer for each of queries, keys
and values where the official code has several.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones.activator import Activator
from dense3d.backbones.duoformer import DuoFormer
from dense3d.backbones.ppma import CrissCrossAttention, PolylineAttention, polyline_mask
from dense3d.backbones.rmt import FactoredDecayAttention, ManhattanDecay, WholeDecayAttention
from dense3d.backbones.t2t_vit import TokenPerformer
from dense3d.backbones.window_attention import SwinAttention, shifted_window_mask
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.convolutional_projection import ConvolutionalAttention
from dense3d.layers.decay_attention import DecayAttention
from dense3d.layers.group_attention import MASKED, GroupAttention
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map
from dense3d.layers.retention import CHUNK, Retention
from dense3d.layers.rotary import Rotation
from dense3d.layers.significance_attention import (
    WINDOW,
    EnhancedAttention,
    GuidedAttention,
    HybridAttention,
    bag_places,
)
from dense3d.layers.softmax_free_attention import SoftmaxFreeAttention
from dense3d.layers.strip_attention import StripAttention
from dense3d.layers.words_and_sentences import ReducedAttention

Steps = dict[type[nn.Module], tuple[str, Callable]]  # class -> name of a method and what replaces it


def _softmax(
    query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0, bias: Tensor | float = 0.0
) -> Tensor:
    """``softmax(scale q k + bias) v`` of ``(..., N, d)``, all logits at once."""
    return (query @ key.transpose(-2, -1) * scale + bias).softmax(-1) @ value


def _heads(tokens: Tensor, count: int) -> Tensor:
    """``(B, N, C)`` to ``(B, M, N, d)``."""
    batch, number, dim = tokens.shape
    return tokens.reshape(batch, number, count, dim // count).permute(0, 2, 1, 3)


def _plain(self: SelfAttention, query: Tensor, key: Tensor, value: Tensor, *_: object) -> Tensor:
    return _softmax(query, key, value, query.shape[-1] ** -0.5 if self.qk_scale is None else self.qk_scale)


def _with_kept(
    self: SelfAttention,
    tokens: Tensor,
    grid: Grid | None = None,
    num_prefix: int = 0,
    rotation: Rotation | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """IA-RED2: all tokens, logits of dropped ones minus infinity, rows that have no others set to zero."""
    query, key, value = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
    logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    pairs = kept[:, None, :, None] & kept[:, None, None, :]
    weights = logits.masked_fill(~pairs, -torch.inf).softmax(-1)
    weights = torch.where(pairs, weights, torch.zeros_like(weights))
    return self.proj((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))


def _reduced(
    self: ReducedAttention, tokens: Tensor, grid: Grid | None = None, bias: Tensor | None = None
) -> Tensor:
    """PyramidTNT."""
    reduced = tokens
    if self.reduction > 1:
        reduced = F.avg_pool2d(tokens_to_map(tokens, grid), self.reduction)
        reduced = self.norm(self.linear(map_to_tokens(reduced)))
    query = _heads(self.q(tokens), self.num_heads)
    key, value = (_heads(part, self.num_heads) for part in self.kv(reduced).chunk(2, dim=-1))
    scale = query.shape[-1] ** -0.5 if self.scale is None else self.scale
    attended = _softmax(query, key, value, scale, 0.0 if bias is None else bias)
    return self.proj(attended.transpose(1, 2).flatten(2))


def _convolutional(self: ConvolutionalAttention, tokens: Tensor, grid: Grid, num_prefix: int = 0) -> Tensor:
    """CvT: the class token apart, three projected maps, products by einsum."""
    prefix, features = tokens[:, :num_prefix], tokens_to_map(tokens[:, num_prefix:], grid)
    maps = (self.conv_proj_q(features), self.conv_proj_k(features), self.conv_proj_v(features))
    query, key, value = (torch.cat([prefix, map_to_tokens(x)], dim=1) for x in maps)
    parts = zip((self.proj_q, self.proj_k, self.proj_v), (query, key, value))
    query, key, value = (_heads(linear(x), self.num_heads) for linear, x in parts)
    weights = (torch.einsum("bhlk,bhtk->bhlt", query, key) * self.scale).softmax(-1)
    attended = torch.einsum("bhlt,bhtv->bhlv", weights.to(value.dtype), value)
    return self.proj(attended.transpose(1, 2).flatten(2))


def _softmax_free(self: SoftmaxFreeAttention, query: Tensor, value: Tensor, grid: Grid) -> Tensor:
    """SOFT: squared distances by products with matrices of ones, values convolved head by head."""
    width = query.shape[2] // self.num_heads
    query, value = _heads(query, self.num_heads) * width**-0.25, _heads(value, self.num_heads)
    landmarks = self.landmarks_of(query, grid)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        ones = torch.ones(width, b.shape[-2], dtype=a.dtype, device=a.device)
        rows = a.square() @ ones
        columns = torch.ones(a.shape[-2], width, dtype=a.dtype, device=a.device) @ b.square().transpose(
            -2, -1
        )
        return torch.exp(-0.5 * (rows + columns - 2 * (a @ b.transpose(-2, -1))))

    across, inverse = kernel(query, landmarks), self.inverse(kernel(landmarks, landmarks))
    mixed = across @ (inverse @ (across.transpose(-2, -1) @ value))
    batch = len(value)
    maps = value.permute(0, 3, 1, 2).reshape(batch * width, self.num_heads, *grid)
    local = F.conv2d(
        maps, self.value_conv.weight, padding=self.value_conv.kernel_size[0] // 2, groups=self.num_heads
    )
    local = local.reshape(batch, width, self.num_heads, -1).permute(0, 2, 3, 1)
    return (mixed + local).transpose(1, 2).flatten(2)


def _projected(self: DecayAttention, x: Tensor, rotation: Rotation) -> tuple[Tensor, ...]:
    """RMT and PPMA: queries and keys, turned, values, all ``(B, h, w, M, d)``, and the local part."""
    weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
    query, key, value = (F.linear(x, weight, bias) for weight, bias in zip(weights, biases))
    local = self.lepe(value)
    key = key * self.head_dim**-0.5
    sin, cos = (part.unflatten(0, x.shape[1:3]) for part in rotation)  # (h, w, 1, d)
    query, key, value = (part.unflatten(-1, (self.num_heads, -1)) for part in (query, key, value))
    turned = []
    for part in (query, key):
        first, second = part.chunk(2, dim=-1)
        turned.append((part * cos + torch.cat([-second, first], dim=-1) * sin).to(value.dtype))
    return *turned, value, local


def _row_weights(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """``(B, h, M, w, w)``."""
    query, key = (part.permute(0, 1, 3, 2, 4) for part in (query, key))
    return (query @ key.transpose(-2, -1) + mask).softmax(-1)


def _factored(
    self: FactoredDecayAttention, x: Tensor, rotation: Rotation, down: Tensor, across: Tensor
) -> Tensor:
    """RMT's early stages: rows, then columns."""
    query, key, value, local = _projected(self, x, rotation)
    rows = _row_weights(query, key, across) @ value.permute(0, 1, 3, 2, 4)  # (B, h, M, w, d)
    columns = _row_weights(query.transpose(1, 2), key.transpose(1, 2), down)
    attended = columns.to(rows.dtype) @ rows.permute(0, 3, 2, 1, 4)  # (B, w, M, h, d)
    return self.proj(attended.permute(0, 3, 1, 2, 4).flatten(3) + local)


def _whole(self: WholeDecayAttention, x: Tensor, rotation: Rotation, mask: ManhattanDecay) -> Tensor:
    """RMT's late stages: a mask of all pairs."""
    query, key, value, local = _projected(self, x, rotation)
    query, key, value = (part.flatten(1, 2).transpose(1, 2) for part in (query, key, value))
    pairs = mask(slice(0, x.shape[1]), query.dtype)
    attended = _softmax(query, key, value, bias=pairs).transpose(1, 2).unflatten(1, x.shape[1:3])
    return self.proj(attended.flatten(3) + local)


def _criss_cross(self: CrissCrossAttention, x: Tensor, rotation: Rotation) -> Tensor:
    """PPMA's early stages: both orders of rows and columns."""
    query, key, value, local = _projected(self, x, rotation)
    across, down = self.path_masks(x)
    rows = _row_weights(query, key, across).to(value.dtype)
    columns = _row_weights(query.transpose(1, 2), key.transpose(1, 2), down).to(value.dtype)
    by_row, by_column = value.permute(0, 1, 3, 2, 4), value.permute(0, 2, 3, 1, 4)
    rows_first = columns @ (rows @ by_row).permute(0, 3, 2, 1, 4)  # (B, w, M, h, d)
    columns_first = rows @ (columns @ by_column).permute(0, 3, 2, 1, 4)  # (B, h, M, w, d)
    attended = rows_first.permute(0, 3, 1, 2, 4) + columns_first.permute(0, 1, 3, 2, 4)
    return self.proj(attended.flatten(3) / 2 + local)


def _polyline(self: PolylineAttention, x: Tensor, rotation: Rotation) -> Tensor:
    """PPMA's late stages: the mask and its transpose, each in a softmax of its own."""
    query, key, value, local = _projected(self, x, rotation)
    query, key, value = (part.flatten(1, 2).transpose(1, 2) for part in (query, key, value))
    mask = polyline_mask(*self.path_masks(x), slice(0, x.shape[1]))
    logits = query @ key.transpose(-2, -1)
    weights = ((logits + mask).softmax(-1) + (logits + mask.transpose(-2, -1)).softmax(-1)) / 2
    attended = (weights.to(value.dtype) @ value).transpose(1, 2).unflatten(1, x.shape[1:3])
    return self.proj(attended.flatten(3) + local)


def _groups(self: GroupAttention, groups: Tensor, side: int, padding: Tensor | None = None) -> Tensor:
    """CrossFormer."""
    shape = groups.shape
    qkv = self.qkv(groups.flatten(0, 1)).unflatten(-1, (3, self.num_heads, -1))
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B R, M, N, d)
    scale = query.shape[-1] ** -0.5 if self.qk_scale is None else self.qk_scale
    logits = (query * scale) @ key.transpose(-2, -1) + self.position((side, side))
    if padding is not None:
        logits = logits.unflatten(0, shape[:2]) + MASKED * padding[:, None, None].to(logits.dtype)
        logits = logits.flatten(0, 1)
    attended = logits.softmax(-1).to(value.dtype) @ value
    return self.proj(attended.transpose(1, 2).flatten(2)).unflatten(0, shape[:2])


def _windows(self: SwinAttention, x: Tensor) -> Tensor:
    """CoSwin: pad, shift, cut into windows, attend, put back."""
    batch, height, width, dim = x.shape
    side, shift = self.window_size[0], self.shift_size[0]
    x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
    rows, columns = x.shape[1:3]
    shift = shift if max(rows, columns) > side else 0
    x = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
    windows = x.view(batch, rows // side, side, columns // side, side, dim)
    windows = windows.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, dim)
    qkv = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key, value = qkv * 1.0
    logits = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1) + self.get_relative_position_bias()
    if shift:
        mask = shifted_window_mask((rows, columns), (side, side), (shift, shift), x.device)
        logits = logits.unflatten(0, (batch, -1)) + mask[:, None].to(logits.dtype)
        logits = logits.flatten(0, 1)
    windows = self.proj((logits.softmax(-1).to(value.dtype) @ value).transpose(1, 2).flatten(2))
    x = windows.view(batch, rows // side, columns // side, side, side, dim)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, dim)
    x = torch.roll(x, (shift, shift), (1, 2)) if shift else x
    return x[:, :height, :width]


def _strip(self: StripAttention, x: Tensor) -> Tensor:
    """S2AFormer."""
    reduced = self.reduction(x).flatten(1, 2)
    query = _heads(self.q(x).flatten(1, 2), self.num_heads) * self.scale
    key, value = _heads(self.k(reduced), self.num_heads), _heads(self.v(reduced), self.num_heads)
    weights = (query.to(key.dtype) @ key.transpose(-2, -1)).softmax(-1).to(value.dtype)
    return self.proj((weights @ value).transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3]))


def _enhanced(self: EnhancedAttention, x: Tensor, query: Tensor, significance: Tensor | None) -> tuple:
    """SG-Former's last stage."""
    key, value = self.kv(x.flatten(1, 2)).chunk(2, dim=-1)
    return _softmax(query, self.heads(key), self.heads(value), self.head_dim**-0.5), None


def _hybrid(self: HybridAttention, x: Tensor, query: Tensor, significance: Tensor | None) -> tuple:
    """SG-Former: cells of the reduced map, whole windows, and what both tell of the tokens."""
    batch, height, width, _ = x.shape
    if height % WINDOW or width % WINDOW:
        raise ConfigError(
            f"SGFormer's official code has whole windows only, but a map is {height} x {width}: choose a "
            "--size that is a multiple of 224"
        )
    whole, window = query.chunk(2, dim=1)
    cells = self.sr(x.permute(0, 3, 1, 2))
    reduced = F.gelu(self.norm(map_to_tokens(cells)))
    key, value = (self.heads(part) for part in self.kv(reduced).chunk(2, dim=-1))
    weights = (whole @ key.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
    whole = weights.to(value.dtype) @ value
    found = weights.detach().mean(1).mean(1).reshape(batch, 1, *cells.shape[2:])
    found = F.interpolate(found, size=(height, width))[:, 0]  # (B, h, w)

    def cut(part: Tensor) -> Tensor:
        part = part.transpose(1, 2).reshape(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, -1)
        return self.heads(part.permute(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW**2, part.shape[-1]))

    def joined(part: Tensor) -> Tensor:
        part = part.reshape(batch, height // WINDOW, width // WINDOW, WINDOW, WINDOW, -1)
        return part.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, -1)

    key, value = (self.heads(part) for part in self.window_kv(x.flatten(1, 2)).chunk(2, dim=-1))
    query, key, value = (
        cut(part.transpose(1, 2).flatten(2).transpose(1, 2)) for part in (window, key, value)
    )
    weights = (query @ key.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
    window = joined((weights.to(value.dtype) @ value).transpose(1, 2).flatten(2))
    found = found + joined(weights.detach().mean(1).mean(1))[..., 0]
    window = self.heads(window.flatten(1, 2))
    return torch.cat([whole, window], dim=1), found.flatten(1)


def _guided(self: GuidedAttention, x: Tensor, query: Tensor, significance: Tensor) -> tuple:
    """SG-Former: tokens ordered twice, row by row and column by column, each for half of the heads."""
    grid, bags = x.shape[1:3], [merger.in_features for merger in self.mergers]
    turned = significance.unflatten(1, grid).transpose(1, 2).flatten(1)
    merged = []
    for tokens, scores in ((x.flatten(1, 2), significance), (x.transpose(1, 2).flatten(1, 2), turned)):
        order = scores.sort(dim=1).indices[..., None].expand_as(tokens)
        tokens, kept = tokens.gather(1, order), []
        for merger, places in zip(self.mergers, bag_places(tokens.shape[1], bags, x.device)):
            if len(places):
                bag = tokens[:, places.flatten()].unflatten(1, places.shape)
                kept.append(merger(bag.transpose(2, 3))[..., 0])
        merged.append(torch.cat(kept, dim=1))
    dim = x.shape[-1]
    halves = (slice(0, dim // 2), slice(dim // 2, dim))
    attended = []
    for tokens, part, heads in zip(merged, halves, query.chunk(2, dim=1)):
        rows = (part, slice(dim + part.start, dim + part.stop))
        bias = self.kv.bias
        key, value = (
            self.heads(F.linear(tokens, self.kv.weight[r], None if bias is None else bias[r])) for r in rows
        )
        attended.append(_softmax(heads, key, value, self.head_dim**-0.5))
    return torch.cat(attended, dim=1), None


def _performer(self: TokenPerformer, tokens: Tensor) -> Tensor:
    """T2T-ViT: products by einsum; no dropout, so that outputs can be compared."""
    with torch.autocast(tokens.device.type, enabled=False):
        key, query, value = self.kqv(self.norm1(tokens.float())).split(self.out_dim, dim=-1)
        count = len(self.w)

        def features(x: Tensor) -> Tensor:
            squares = (x * x).sum(dim=-1, keepdim=True).repeat(1, 1, count) / 2
            return torch.exp(torch.einsum("bti,mi->btm", x, self.w) - squares) / count**0.5

        key, query = features(key), features(query)
        total = torch.einsum("bti,bi->bt", query, key.sum(dim=1)).unsqueeze(dim=2)
        context = torch.einsum("bin,bim->bnm", value, key)
        attended = torch.einsum("bti,bni->btn", query, context)
        attended = attended / (total.repeat(1, 1, self.out_dim) + 1e-8)
        value = value + self.proj(attended)
        return value + self.mlp(self.norm2(value))


def _retention(self: Retention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """ViR's chunkwise form, chunk after chunk."""
    gamma, state, mixed = self.gamma.to(query.dtype), 0.0, []
    for query, key, value in zip(*(x.split(CHUNK, dim=2) for x in (query, key, value))):  # noqa: B020
        count = query.shape[2]
        place = torch.arange(count, device=query.device)
        distance = place[:, None] - place
        decay = gamma[:, None, None] ** distance.clamp(min=0) * (distance >= 0)
        inner = query @ key.transpose(-2, -1) * decay @ value
        since = gamma[:, None] ** (place + 1)
        cross = (query * since[..., None]) @ state if mixed else 0.0
        to_end = gamma[:, None] ** (count - 1 - place)
        state = (key * to_end[..., None]).transpose(-2, -1) @ value + gamma[:, None, None] ** count * state
        mixed.append(inner + cross)
    return torch.cat(mixed, dim=2).to(value.dtype)


def _regions(self: DuoFormer, maps: list[Tensor]) -> Tensor:
    """DuoFormer: region by region and scale by scale."""
    projected = [self.projections[str(i)](maps[i]) for i in range(3, 3 - self.scales, -1)]
    rows, columns = projected[0].shape[-2:]
    regions = []
    for row in range(rows):
        for column in range(columns):
            tokens = []
            for scale, features in enumerate(projected):
                side = 2**scale
                down, right = row * side, column * side
                cell = features[:, :, down : down + side, right : right + side]
                cell = cell.transpose(2, 3) if side == 2 else cell  # column by column, as officially
                tokens.append(cell.flatten(2).transpose(1, 2))
            regions.append(torch.cat(tokens, dim=1))
    tokens = torch.stack(regions, dim=1)
    return torch.cat([self.scale_token.expand(*tokens.shape[:2], -1, -1), tokens], dim=2)


def _activator(self: Activator, index: int, x: Tensor) -> Tensor:
    """Activator: tokens from the embedding on."""
    x = self.downsampling(index)(x) if index else x
    grid, tokens = x.shape[2:], x.flatten(2).transpose(1, 2)
    for block in self.blocks(index):
        tokens = tokens + block.unit(block.norm(tokens))
        tokens = tokens + block.mlp(block.norm(tokens))
    return tokens.transpose(1, 2).unflatten(2, grid)


ATTENTIONS: Steps = {
    SelfAttention: ("attend", _plain),
    ReducedAttention: ("forward", _reduced),
    ConvolutionalAttention: ("forward", _convolutional),
    SoftmaxFreeAttention: ("_mix", _softmax_free),
    FactoredDecayAttention: ("forward", _factored),
    WholeDecayAttention: ("forward", _whole),
    CrissCrossAttention: ("forward", _criss_cross),
    PolylineAttention: ("forward", _polyline),
    GroupAttention: ("forward", _groups),
    SwinAttention: ("forward", _windows),
    StripAttention: ("forward", _strip),
    EnhancedAttention: ("attend", _enhanced),
    HybridAttention: ("attend", _hybrid),
    GuidedAttention: ("attend", _guided),
    TokenPerformer: ("forward", _performer),
    Retention: ("mix", _retention),
    DuoFormer: ("region_sequences", _regions),
    Activator: ("stage", _activator),
}
DROPPING: Steps = {SelfAttention: ("forward", _with_kept)}  # of IA-RED2
