"""Retention: attention whose weights decay with the distance to earlier tokens, in all of its forms.

Sun et al., "Retentive Network: A Successor to Transformer for Large Language Models", arXiv 2307.08621,
section 2; for images Hatamizadeh et al., "ViR: Towards Efficient Vision Retention Backbones", arXiv
2310.19731.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid

FORMS = ("softmax", "parallel", "recurrent", "chunkwise")
CHUNK = 16  # tokens, as the official code has it
GROUP = 64  # chunks whose states are carried at once


class Retention(nn.Module):
    """Causal mixing of tokens with a decay of its own for each head.

    With ``D[i, j] = gamma ** (i - j)`` for ``j <= i`` and 0 else:

    * ``"softmax"``: ``softmax((q k) * D) v``, what ViR's published networks compute. The scores of later
      tokens are 0, not minus infinity: it is not causal, and has no recurrent form.
    * ``"parallel"``: ``((q k) * D) v``; every token at once.
    * ``"recurrent"``: the same token by token, from a state ``(d, d)`` a head: memory that does not grow.
    * ``"chunkwise"``: the same, parallel within chunks of 16 tokens, with a state from one to the next:
      linear in the number of tokens.

    The last three are equal. Weights that were trained with the first do not fit them.

    Args:
        dim: channels of a token.
        num_heads: M, a divisor of ``dim``.
        form: one of the four.

    Attributes:
        get_v: :class:`dense3d.layers.image_position.LocalPosition`, or None for no local term.

    Shape:
        ``(B, N, dim)`` to the same. With ``get_v``, the patches of a grid stand first.

    Raises:
        ConfigError: ``form`` is none of the four.

    Example:
        >>> Retention(8, 2)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, num_heads: int, form: str = "softmax") -> None:
        super().__init__()
        if form not in FORMS:
            raise ConfigError(f"form={form!r} of a retention: use one of {', '.join(map(repr, FORMS))}")
        self.num_heads, self.form = num_heads, form
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.get_v: nn.Module | None = None
        self.register_buffer("gamma", decays(num_heads), persistent=False)

    def forward(self, tokens: Tensor, grid: Grid | None = None) -> Tensor:
        """The mixed tokens."""
        query, key, value = self.heads(tokens)
        mixed = self.mix(query, key, value)
        return self.join(mixed if self.get_v is None else mixed + self.get_v(value, grid, 0))

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Heads ``(B, M, N, d)`` after the mixing in this layer's form."""
        if self.form == "softmax":
            mask = decay_mask(self.gamma, query.shape[2])
            return (query @ key.transpose(2, 3) * mask.to(query.dtype)).softmax(dim=3) @ value
        if self.form == "parallel":
            return self.parallel(query, key, value)
        return (self.recurrent if self.form == "recurrent" else self.chunkwise)(query, key, value)[0]

    def heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, already scaled, keys and values ``(B, M, N, d)``."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return query * query.shape[-1] ** -0.5, key, value

    def join(self, mixed: Tensor) -> Tensor:
        """Heads ``(B, M, N, d)`` to tokens ``(B, N, dim)``."""
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def parallel(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """All tokens at once."""
        mask = decay_mask(self.gamma, query.shape[2]).to(query.dtype)
        return query @ key.transpose(2, 3) * mask @ value

    def recurrent(
        self, query: Tensor, key: Tensor, value: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One token after the other.

        Args:
            query, key, value: ``(B, M, N, d)``.
            state: of the tokens before, ``(B, M, d, d)``; none were there unless given.

        Returns:
            the mixed tokens ``(B, M, N, d)`` and the state behind the last.
        """
        gamma = self.gamma.to(query.dtype)[:, None, None]
        state = torch.zeros_like(key[:, :, :1].transpose(2, 3) @ value[:, :, :1]) if state is None else state
        mixed = []
        for q, k, v in zip(query.unbind(2), key.unbind(2), value.unbind(2)):
            state = gamma * state + k[..., :, None] * v[..., None, :]
            mixed.append((q[..., None, :] @ state)[..., 0, :])
        return torch.stack(mixed, dim=2), state

    def chunkwise(
        self, query: Tensor, key: Tensor, value: Tensor, state: Tensor | None = None, chunk: int = CHUNK
    ) -> tuple[Tensor, Tensor]:
        """Chunks of tokens, all of them at once; arguments and result as :meth:`recurrent`."""
        count, log = query.shape[2], self.gamma.log()[:, None]  # (M, 1)
        short = -count % chunk
        # (B, M, K, n, d): the last chunk is filled up with tokens of zeros
        query, key, value = (
            F.pad(x, (0, 0, 0, short)).unflatten(2, (-1, chunk)) for x in (query, key, value)
        )
        place = torch.arange(chunk, device=query.device)
        inner = query @ key.transpose(3, 4) * decay_mask(self.gamma, chunk)[:, None].to(query.dtype) @ value
        to_end = (log * (chunk - 1 - place)).exp()[:, None, :, None].to(query.dtype)
        sums = (key * to_end).transpose(3, 4) @ value  # (B, M, K, d, d), of each chunk alone
        before = self._carried(sums, state, chunk)
        since = (log * (place + 1)).exp()[:, None, :, None].to(query.dtype)
        mixed = (inner + query * since @ before[:, :, :-1]).flatten(2, 3)[:, :, :count]
        last = before[:, :, -1]
        if short:  # what the filling let decay
            last = last * (-short * log).exp()[:, :, None].to(last.dtype)
        return mixed, last

    def _carried(self, sums: Tensor, state: Tensor | None, chunk: int) -> Tensor:
        """States before each of K chunks and behind the last, ``(B, M, K + 1, d, d)``.

        Many chunks are taken in groups, whose states are carried in the same way: the cost stays linear.
        """
        first = torch.zeros_like(sums[:, :, :1]) if state is None else state[:, :, None]
        count = sums.shape[2]
        if count <= GROUP:
            steps = torch.cat([first, sums], dim=2)
            decay = decay_mask(self.gamma, count + 1, chunk).to(sums.dtype)  # (M, K + 1, K + 1)
            return torch.einsum("mij,bmjde->bmide", decay, steps)
        groups = F.pad(sums, (0, 0, 0, 0, 0, -count % GROUP)).unflatten(2, (-1, GROUP))  # (B, M, G, n, d, d)
        decay = decay_mask(self.gamma, GROUP, chunk).to(sums.dtype)
        inside = torch.einsum("mij,bmgjde->bmgide", decay, groups)  # of each group alone
        before = self._carried(inside[:, :, :, -1], state, chunk * GROUP)[:, :, :-1, None]
        place = torch.arange(1, GROUP + 1, device=sums.device)
        since = (self.gamma.log()[:, None] * chunk * place).exp()[:, None, :, None, None].to(sums.dtype)
        behind = (inside + since * before).flatten(2, 3)[:, :, :count]
        return torch.cat([first, behind], dim=2)


def decays(num_heads: int) -> Tensor:
    """Decay of each head, from 1 - 1/32 to 1 - 1/512, ``(M,)``.

    Example:
        >>> [round(float(1 / (1 - gamma))) for gamma in decays(3)]
        [32, 128, 512]
    """
    return 1.0 - torch.linspace(math.log(1 / 32), math.log(1 / 512), num_heads).exp()


def decay_mask(gamma: Tensor, count: int, stride: int = 1) -> Tensor:
    """``gamma ** (stride * (i - j))`` for j <= i, else 0: ``(M, N, N)``.

    Example:
        >>> decay_mask(torch.tensor([0.5]), 3)[0].tolist()
        [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.25, 0.5, 1.0]]
    """
    place = torch.arange(count, device=gamma.device)
    distance = place[:, None] - place
    power = (gamma.log()[:, None, None] * (stride * distance.clamp(min=0))).exp()
    return power * (distance >= 0)
