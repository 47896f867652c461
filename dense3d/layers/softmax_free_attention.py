"""Attention with a Gaussian kernel in place of the softmax, whose cost is linear in the tokens.

Lu et al., "SOFT: Softmax-free Transformer with Linear Complexity", NeurIPS 2021 (arXiv:2110.11945), and
"Softmax-Free Linear Transformers", IJCV 2024 (arXiv:2207.03341) for the normalised form.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid, map_to_tokens, tokens_to_map

RIDGE = 0.01
HALVINGS = 10


class SoftmaxFreeAttention(nn.Module):
    """Nyström approximation of a Gaussian kernel matrix between tokens, with convolved landmarks.

    With queries Q, which are the keys too, landmarks M of them, ``G(a, b) = exp(-|a - b|^2 / 2)``:
    ``G(Q, M) G(M, M)^-1 G(M, Q) V``, plus a convolution of V. It is computed in float32 even where autocast
    is on: the inverse is of a matrix that is near singular.

    Args:
        dim: channels of a token.
        num_heads: heads, a divisor of ``dim``.
        ratio: side of the squares of tokens that become one landmark.
        kernel: side of the convolution of the values, odd; one filter a head.
        normalised: the symmetric normalisation of the inverse, which other sizes than those of training need.
        iterations: Newton steps of the inverse.

    Shape:
        ``(B, h * w, dim)`` to the same. Maps smaller than ``ratio`` are padded with zeros for the landmarks.

    Raises:
        ConfigError: heads that do not divide ``dim``, a landmark ratio below 2, or an even kernel.

    Example:
        >>> SoftmaxFreeAttention(8, 2, ratio=2, kernel=3)(torch.zeros(2, 20, 8), (4, 5)).shape
        torch.Size([2, 20, 8])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ratio: int,
        kernel: int,
        normalised: bool = True,
        iterations: int = 20,
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ConfigError(f"{dim} channels cannot be shared by {num_heads} heads; choose a multiple")
        if ratio < 2 or kernel % 2 == 0:
            raise ConfigError(
                f"a landmark ratio of {ratio} and a kernel of {kernel}: give 2 or more, and an odd number"
            )
        width = dim // num_heads
        self.num_heads, self.ratio, self.normalised, self.iterations = (
            num_heads,
            ratio,
            normalised,
            iterations,
        )
        self.q = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.landmarks = nn.Conv2d(width, width, ratio, ratio, bias=False)
        self.landmark_norm = nn.LayerNorm(width)
        self.value_conv = nn.Conv2d(num_heads, num_heads, kernel, groups=num_heads, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Attention of ``tokens`` on ``grid``."""
        query, value = self.q(tokens), self.v(tokens)  # (B, N, C)
        dtype = torch.promote_types(query.dtype, torch.float32)
        device = tokens.device.type
        with nullcontext() if device == "meta" else torch.autocast(device, enabled=False):
            mixed = self._mix(query.to(dtype), value.to(dtype), grid)
        return self.proj(mixed.to(query.dtype))

    def _mix(self, query: Tensor, value: Tensor, grid: Grid) -> Tensor:
        width = query.shape[2] // self.num_heads
        query = query.unflatten(2, (self.num_heads, -1)).transpose(1, 2) * width**-0.25  # (B, M, N, d)
        landmarks = self.landmarks_of(query, grid)  # (B, M, n, d)
        across = gaussian_kernel(query, landmarks)  # (B, M, N, n)
        between = gaussian_kernel(landmarks, landmarks)
        inverse = self.inverse(between)
        heads = value.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        mixed = across @ (inverse @ (across.transpose(2, 3) @ heads))
        kernel = self.value_conv.weight.to(value.dtype).repeat_interleave(width, dim=0)  # (C, 1, k, k)
        local = F.conv2d(
            tokens_to_map(value, grid), kernel, padding=kernel.shape[-1] // 2, groups=len(kernel)
        )
        return mixed.transpose(1, 2).flatten(2) + map_to_tokens(local)

    def landmarks_of(self, query: Tensor, grid: Grid) -> Tensor:
        """Landmarks ``(B, M, n, d)`` of queries ``(B, M, h * w, d)``, n = ``(h // ratio) * (w // ratio)``."""
        maps = tokens_to_map(query.flatten(0, 1), grid)  # (B M, d, h, w)
        weight = self.landmarks.weight.to(query.dtype)
        pad_y, pad_x = (max(self.ratio - side, 0) for side in grid)
        maps = F.conv2d(F.pad(maps, (0, pad_x, 0, pad_y)), weight, stride=self.ratio)
        norm = self.landmark_norm
        normed = F.layer_norm(
            map_to_tokens(maps),
            norm.normalized_shape,
            norm.weight.to(query.dtype),
            norm.bias.to(query.dtype),
            norm.eps,
        )
        return F.gelu(normed).unflatten(0, query.shape[:2])

    def inverse(self, kernel: Tensor) -> Tensor:
        """The inverse of the landmarks' kernel matrix ``(B, M, n, n)``, normalised where that is wanted."""
        if not self.normalised:
            return newton_inverse(kernel, self.iterations)
        inverse = normalised_newton_inverse(kernel, self.iterations)
        degree = kernel.sum(-1, keepdim=True).rsqrt()  # (B, M, n, 1)
        return degree * inverse * degree.transpose(2, 3)


def gaussian_kernel(a: Tensor, b: Tensor) -> Tensor:
    """``exp(-|a - b|^2 / 2)`` of each pair, ``(..., N, d)`` and ``(..., n, d)`` to ``(..., N, n)``.

    Example:
        >>> gaussian_kernel(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]])).log().tolist()
        [[0.0, -2.0]]
    """
    logits = a @ b.transpose(-2, -1)  # the largest tensor of an attention: changed in place
    logits.sub_(a.square().sum(-1)[..., :, None] / 2).sub_(b.square().sum(-1)[..., None, :] / 2)
    return logits.exp_()


class _Inverse(torch.autograd.Function):
    """Newton's iteration forwards; backwards the derivative of an exact inverse."""

    @staticmethod
    def forward(ctx, kernel: Tensor, iterations: int) -> Tensor:
        """Inverse of ``kernel`` plus a ridge."""
        scale = 1.8 / kernel.sum(-1).amax(-1)[..., None, None].square()
        ridged = kernel + RIDGE * torch.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
        inverse = _iterate(scale * ridged, ridged, iterations)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """``-X^T gradient X^T`` with the inverse X."""
        (inverse,) = ctx.saved_tensors
        turned = inverse.transpose(-2, -1)
        return -turned @ gradient @ turned, None


def newton_inverse(kernel: Tensor, iterations: int = 20) -> Tensor:
    """Inverse of ``kernel + 0.01 I`` by Newton's iteration ``X <- 2 X - X P X``.

    SOFT, NeurIPS 2021, algorithm 2; the gradient is that of an exact inverse.

    Args:
        kernel: symmetric matrices ``(..., n, n)`` with eigenvalues from 0 on and entries from 0 on.
        iterations: steps.

    Example:
        >>> newton_inverse(torch.eye(2)[None])[0, 0, 0].mul(1.01).round(decimals=4)
        tensor(1.)
    """
    return _Inverse.apply(kernel, iterations)


def normalised_newton_inverse(kernel: Tensor, iterations: int = 20) -> Tensor:
    """Inverse of ``kernel`` by Newton's iteration, from a start that all heads of an image share.

    As in SOFT-Norm: the start is halved, at most ten times, as long as the iteration does not converge for
    the worst head. The official code takes the worst of the whole batch, so that what comes out for one image
    depends on the others where the steps do not suffice; here it is what that code gives for it alone.
    Matrices whose rows all have the largest sum, such as those of one landmark, lose the direction of equal
    entries: the start stands at the border of convergence there.

    Args:
        kernel: symmetric matrices ``(B, M, n, n)`` with entries from 0 on.
        iterations: steps.

    Example:
        >>> kernel = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]])
        >>> (normalised_newton_inverse(kernel[None, None])[0, 0] @ kernel).trace().round(decimals=3)
        tensor(3.)
    """
    scale = 2 / kernel.sum(-1).amax((1, 2))[:, None, None, None].square()  # (B, 1, 1, 1)
    with torch.no_grad():
        square = kernel @ kernel
        unit = torch.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
        factor = torch.ones_like(scale)
        for _ in range(HALVINGS):
            worst = (unit - factor * scale * square).abs().sum(-2).amax((1, 2))[:, None, None, None]
            factor = torch.where(worst > 1.01, factor / 2, factor)
    return _iterate(factor * scale * kernel, kernel, iterations)


def _iterate(start: Tensor, matrix: Tensor, iterations: int) -> Tensor:
    inverse = start
    for _ in range(iterations):
        inverse = 2 * inverse - inverse @ matrix @ inverse
    return inverse
