"""Relation between the boxes of queries as a bias of their self-attention (Relation-DETR, arXiv 2407.11699).

For every pair of a source box i (a row, the query) and a target box j (a column, the key)

    dx = log(|x_i - x_j| / (w_i + eps) + 1)      dw = log((w_i + eps) / (w_j + eps))
    dy = log(|y_i - y_j| / (h_i + eps) + 1)      dh = log((h_i + eps) / (h_j + eps))

each become sines and cosines of some frequencies f; a linear map and a ReLU make of these one number a head.
The map of all features holds 64 floats a pair, so :func:`relation_bias` never has it as a whole, and keeps
nothing of it for the gradient. The features of dw and dh it does not even compute a pair at a time: with
a = f log(w_i + eps) and b = f log(w_j + eps), sin(a - b) and cos(a - b) are sums of products of a row's and
a column's numbers, that is, a matrix product.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.sine_position import sine_features, sine_frequencies
from dense3d.registry import MODELS

EPS = 1e-5
# Features of position held at once: what a cache holds on a CPU, enough to occupy a GPU.
CHUNK = {"cpu": 1 << 20, "cuda": 1 << 26}


def log_box_encoding(source_boxes: Tensor, target_boxes: Tensor, eps: float = EPS) -> Tensor:
    """Distance and ratio of size of all pairs of boxes, in the unit of the source box, as logarithms.

    Args:
        source_boxes: ``(..., N, 4)`` cxcywh in [0, 1], the rows.
        target_boxes: ``(..., M, 4)`` cxcywh in [0, 1], the columns.
        eps: added to width and height.

    Returns:
        ``(..., N, M, 4)``: dx, dy, dw, dh.

    Example:
        >>> boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.7, 0.5, 0.1, 0.2]])
        >>> log_box_encoding(boxes, boxes)[0, 1].round(decimals=2).abs().tolist()
        [0.6899999976158142, 0.0, 0.6899999976158142, 0.0]
    """
    source, target = source_boxes.unsqueeze(-2), target_boxes.unsqueeze(-3)
    size = source[..., 2:] + eps  # (..., N, 1, 2)
    distance = torch.log((source[..., :2] - target[..., :2]).abs() / size + 1)
    ratio = torch.log(size / (target[..., 2:] + eps))
    return torch.cat((distance, ratio.expand_as(distance)), dim=-1)


def relation_logits(
    source_boxes: Tensor, target_boxes: Tensor, weight: Tensor, bias: Tensor, temperature: float, scale: float
) -> Tensor:
    """The linear map of all features before the ReLU, written as the paper has it.

    :func:`relation_bias` computes the same; this is what it is tested against.

    Args:
        source_boxes: ``(B, N, 4)`` cxcywh in [0, 1].
        target_boxes: ``(B, M, 4)`` cxcywh in [0, 1].
        weight: ``(heads, 4 * F)``.
        bias: ``(heads,)``.
        temperature: of the sine features.
        scale: of the sine features.

    Returns:
        ``(B, heads, N, M)``.
    """
    with torch.no_grad():
        encoding = log_box_encoding(source_boxes, target_boxes)
        features = sine_features(encoding, weight.shape[1] // 4, temperature, scale)  # (B, N, M, 4F)
    return (features @ weight.t() + bias).permute(0, 3, 1, 2)


def relation_bias(
    source_boxes: Tensor,
    target_boxes: Tensor,
    weight: Tensor,
    bias: Tensor,
    temperature: float = 10000.0,
    scale: float = 100.0,
    attn_mask: Tensor | None = None,
) -> Tensor:
    """Bias of the attention of every source box to every target box, in little memory.

    Boxes get no gradient. Under autocast it computes in float32 and returns the lower precision.

    Args:
        source_boxes: ``(B, N, 4)`` cxcywh in [0, 1], the queries.
        target_boxes: ``(B, M, 4)`` cxcywh in [0, 1], the keys.
        weight: ``(heads, 4 * F)``, columns ordered as by :func:`log_box_encoding` and :func:`sine_features`.
        bias: ``(heads,)``.
        temperature: of the sine features.
        scale: of the sine features.
        attn_mask: boolean ``(N, M)``, True where a query must not see a key: the bias is -inf there.

    Returns:
        ``(B, heads, N, M)``, at least 0 where nothing is masked.

    Example:
        >>> boxes = torch.rand(2, 5, 4)
        >>> relation_bias(boxes, boxes, torch.randn(8, 64), torch.zeros(8)).shape
        torch.Size([2, 8, 5, 5])
    """
    arguments = (source_boxes.detach(), target_boxes.detach(), weight, bias, temperature, scale, attn_mask)
    if torch.is_grad_enabled() and (weight.requires_grad or bias.requires_grad):
        return _RelationBias.apply(*arguments)
    return _forward(*arguments)


class _RelationBias(torch.autograd.Function):
    """Keeps boxes and result; computes the features a second time for the gradient of the linear map."""

    @staticmethod
    def forward(ctx, source, target, weight, bias, temperature, scale, attn_mask):
        result = _forward(source, target, weight, bias, temperature, scale, attn_mask)
        ctx.save_for_backward(source, target, weight, result)
        ctx.sine = temperature, scale
        return result

    @staticmethod
    def backward(ctx, grad):
        source, target, weight, result = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            grad_weight, grad_bias = _backward(source, target, weight, result, grad, *ctx.sine)
        return None, None, grad_weight, grad_bias, None, None, None


def _forward(
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Tensor,
    temperature: float,
    scale: float,
    attn_mask: Tensor | None,
) -> Tensor:
    device = source.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        source, target, weight, bias = (_precise(t) for t in (source, target, weight, bias))
        weights = weight.unflatten(1, (4, -1, 2))  # (heads, 4, F / 2, sine and cosine)
        frequencies = sine_frequencies(weight.shape[1] // 4, temperature, scale, weight)
        rows = _row_products(*_size_features(source, frequencies), weights[:, 2:], bias)
        result = rows @ _column_features(target, frequencies).unsqueeze(1)  # (B, heads, N, M)
        position = weights[:, :2].flatten(1, 2)  # (heads, F, 2)
        for part in _chunks(source, target, frequencies):
            sine, cosine = _position_features(source[:, part], target, frequencies)
            product = position[..., 0] @ sine + position[..., 1] @ cosine  # (B, heads, n * M)
            result[:, :, part] += product.view_as(result[:, :, part])
        result = result.relu_().to(dtype)
    return result if attn_mask is None else result.masked_fill_(attn_mask, -math.inf)


def _backward(
    source: Tensor,
    target: Tensor,
    weight: Tensor,
    result: Tensor,
    grad: Tensor,
    temperature: float,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Gradients of weight and bias; where the result is 0 (ReLU) or -inf (masked), none flows."""
    source, target = _precise(source), _precise(target)
    frequencies = sine_frequencies(weight.shape[1] // 4, temperature, scale, _precise(weight))
    sine_rows, cosine_rows = _size_features(source, frequencies)
    columns = _column_features(target, frequencies).transpose(1, 2)  # (B, M, 2F + 1)
    position, size, constant = 0, 0, 0
    for part in _chunks(source, target, frequencies):
        passing = _precise(grad[:, :, part]) * (result[:, :, part] > 0)  # (B, heads, n, M)
        features = _position_features(source[:, part], target, frequencies)
        flat = passing.flatten(2)
        position = position + torch.stack([(flat @ f.transpose(1, 2)).sum(0) for f in features], -1)
        products = passing @ columns.unsqueeze(1)  # (B, heads, n, 2F + 1)
        size = size + _row_gradients(products, sine_rows[:, part], cosine_rows[:, part])
        constant = constant + products[..., -1].sum((0, 2))
    grad_weight = torch.cat((position, size), dim=1).flatten(1)  # (heads, 2F, 2) -> (heads, 4F)
    return grad_weight.to(weight.dtype), constant.to(weight.dtype)


def _precise(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _chunks(source: Tensor, target: Tensor, frequencies: Tensor) -> list[slice]:
    """Parts of the rows; only one where a compiler fuses what we would cut."""
    if torch.compiler.is_compiling():
        return [slice(None)]
    numbers = 4 * len(frequencies) * source.shape[0] * target.shape[1]  # a row
    rows = max(1, CHUNK.get(source.device.type, CHUNK["cuda"]) // max(1, numbers))
    return [slice(start, start + rows) for start in range(0, source.shape[1], rows)]


def _position_features(source: Tensor, target: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines of dx and dy: ``(B, F, n * M)`` each, F = 2 x frequencies."""
    source, target = source.transpose(1, 2).unsqueeze(-1), target.transpose(1, 2).unsqueeze(-2)
    distance = torch.log((source[:, :2] - target[:, :2]).abs() / (source[:, 2:] + EPS) + 1)  # (B, 2, n, M)
    angles = (distance.unsqueeze(2) * frequencies.view(-1, 1, 1)).flatten(3).flatten(1, 2)
    return angles.sin(), angles.cos()


def _size_features(boxes: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Sines and cosines of f log(w + eps) and f log(h + eps): ``(B, N, 2, F / 2)`` each.

    Angles go to a thousand: float64, so that their differences are right.
    """
    angles = torch.log(boxes[..., 2:].double() + EPS).unsqueeze(-1) * frequencies.double()
    return angles.sin().to(boxes.dtype), angles.cos().to(boxes.dtype)


def _column_features(target: Tensor, frequencies: Tensor) -> Tensor:
    """``(B, 2F + 1, M)``: what :func:`_row_products` is multiplied with; the last row is 1 for the bias."""
    sine, cosine = _size_features(target, frequencies)
    features = torch.cat((cosine.flatten(2), sine.flatten(2), torch.ones_like(sine[:, :, 0, :1])), dim=-1)
    return features.transpose(1, 2)


def _row_products(sine: Tensor, cosine: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """``(B, heads, N, 2F + 1)``: the rows' factors of

    u sin(a - b) + v cos(a - b) = (u sin a + v cos a) cos b + (v sin a - u cos a) sin b.
    """
    sine, cosine = sine.unsqueeze(1), cosine.unsqueeze(1)  # (B, 1, N, 2, F / 2)
    u, v = weights.unsqueeze(1).unbind(-1)  # (heads, 1, 2, F / 2)
    of_cosine, of_sine = u * sine + v * cosine, v * sine - u * cosine
    constant = bias[:, None, None].expand(*of_sine.shape[:3], 1)
    return torch.cat((of_cosine.flatten(3), of_sine.flatten(3), constant), dim=-1)


def _row_gradients(products: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    """``(heads, F, 2)``: gradient of u and v of :func:`_row_products`."""
    of_cosine, of_sine = products[..., :-1].chunk(2, dim=-1)  # (B, heads, n, F)
    sine, cosine = sine.flatten(2).unsqueeze(1), cosine.flatten(2).unsqueeze(1)  # (B, 1, n, F)
    u, v = of_cosine * sine - of_sine * cosine, of_cosine * cosine + of_sine * sine
    return torch.stack((u.sum((0, 2)), v.sum((0, 2))), dim=-1)


@MODELS.register_module()
class PositionRelation(nn.Module):
    """Position relation encoder: the bias that boxes give to the self-attention of their queries.

    Args:
        embed_dims: sine features of each of the four numbers of a pair.
        num_heads: heads of the self-attention.
        temperature: of the sine features.
        scale: of the sine features.

    Raises:
        ConfigError: ``embed_dims`` is not an even number above 0.

    Example:
        >>> relation = PositionRelation(embed_dims=16, num_heads=8)
        >>> relation(torch.rand(2, 6, 4), torch.rand(2, 6, 4)).shape
        torch.Size([2, 8, 6, 6])
    """

    def __init__(
        self, embed_dims: int = 16, num_heads: int = 8, temperature: float = 10000.0, scale: float = 100.0
    ):
        super().__init__()
        if embed_dims < 2 or embed_dims % 2:
            raise ConfigError(f"PositionRelation: embed_dims={embed_dims} is not an even number above 0")
        self.num_heads, self.temperature, self.scale = num_heads, temperature, scale
        # Parameter names and shapes of the official checkpoints.
        self.pos_proj = nn.Sequential(nn.Conv2d(4 * embed_dims, num_heads, kernel_size=1))

    def forward(
        self, source_boxes: Tensor, target_boxes: Tensor | None = None, attn_mask: Tensor | None = None
    ) -> Tensor:
        """Bias to add to the scaled logits of the attention; no gradient reaches the boxes.

        Args:
            source_boxes: ``(B, N, 4)`` cxcywh in [0, 1], one a query.
            target_boxes: ``(B, M, 4)`` cxcywh in [0, 1], one a key; the source boxes by default.
            attn_mask: boolean ``(N, M)``, True where a query must not see a key; the result is -inf there.

        Returns:
            ``(B, heads, N, M)``; ``flatten(0, 1)`` is the mask of :class:`torch.nn.MultiheadAttention`.
        """
        target_boxes = source_boxes if target_boxes is None else target_boxes
        weight, bias = self.pos_proj[0].weight.flatten(1), self.pos_proj[0].bias
        return relation_bias(
            source_boxes, target_boxes, weight, bias, self.temperature, self.scale, attn_mask
        )
