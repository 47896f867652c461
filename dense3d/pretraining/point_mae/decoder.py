"""The light decoder of Point-MAE: hidden patches from the encoded visible ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.pointcloud.transformer import NORM_EPS, position_embedding, run_blocks, transformer_blocks


class PatchDecoder(nn.Module):
    """Points of hidden patches from tokens of visible ones and from where all of them lie.

    Mask tokens enter here and not in the encoder, so that it never learns where hidden patches are.

    Args:
        dim: channels of a token, the encoder's.
        group_size: K, points of a patch.
        depth, num_heads, drop_path_rate: of the blocks.

    Example:
        >>> decoder = PatchDecoder(12, group_size=4, depth=1, num_heads=2)
        >>> decoder(torch.zeros(2, 3, 12), torch.zeros(2, 3, 3), torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 4, 3])
    """

    def __init__(
        self, dim: int, group_size: int, depth: int = 4, num_heads: int = 6, drop_path_rate: float = 0.1
    ) -> None:
        super().__init__()
        self.group_size = group_size
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = position_embedding(dim)
        self.blocks = transformer_blocks(dim, depth, num_heads, drop_path_rate)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.predict = nn.Linear(dim, 3 * group_size)
        self._initialise()

    def forward(self, latent: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Points ``(B, H, K, 3)`` of hidden patches, relative to their centres.

        Args:
            latent: ``(B, V, dim)``, of the visible patches.
            visible: ``(B, V, 3)``, centres of them.
            hidden: ``(B, H, 3)``, centres of the hidden ones.
        """
        tokens, _ = self.decode(latent, visible, hidden)
        return self.predict(tokens).unflatten(2, (self.group_size, 3))

    def decode(
        self, latent: Tensor, visible: Tensor, hidden: Tensor, keep: tuple[int, ...] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Tokens ``(B, H, dim)`` of hidden patches after the norm, and the outputs of the blocks ``keep``.

        Visible patches come first, hidden ones after them; the order of the cloud is not restored.
        """
        masked = self.mask_token.to(latent.dtype).expand(len(latent), hidden.shape[1], -1)
        positions = self.pos_embed(torch.cat([visible, hidden], dim=1))
        tokens, kept = run_blocks(self.blocks, torch.cat([latent, masked], dim=1), positions, keep)
        return self.norm(tokens[:, latent.shape[1] :]), kept

    def _initialise(self) -> None:
        """Xavier-uniform blocks, a normal mask token, and PyTorch's own elsewhere, as officially."""
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
