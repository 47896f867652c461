"""Channel gates that see all tokens: squeeze and excitation for sequences."""

from __future__ import annotations

from torch import Tensor, nn


class TokenGate(nn.Module):
    """Factor of every channel, from the mean over the tokens: ``x * tanh(fc2(relu(fc1(norm(mean)))))``.

    Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, as TNT has it in its feed-forward branches.

    Args:
        dim: channels of a token.
        hidden_dim: channels between the two layers.

    Shape:
        ``(B, N, dim)`` to the same.

    Example:
        >>> import torch
        >>> TokenGate(8, 2)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, dim), nn.Tanh()
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """The gated tokens."""
        return tokens * self.fc(tokens.mean(1, keepdim=True))
