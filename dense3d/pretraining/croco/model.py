"""Cross-view completion: nine tenths of one view are painted from the rest and from another view.

Weinzaepfel et al., "CroCo: Self-Supervised Pre-training for 3D Vision Tasks by Cross-View Completion",
NeurIPS 2022; "CroCo v2: Improved Cross-view Completion Pre-training for Stereo Matching and Optical Flow",
ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.backbones.croco import CrocoNetwork, initialise
from dense3d.errors import ConfigError, DataError
from dense3d.layers.pixel_patches import normalised_patches, paint, patch_loss, patchify
from dense3d.registry import MODELS


def random_view_mask(noise: Tensor, ratio: float) -> Tensor:
    """Which patches are hidden: ``int(ratio * N)`` of each sample, as CroCo's official code draws them.

    The entries of the permutation that sorts the noise are compared, not the ranks of the noise; either is a
    random set, and this one repeats the official masks for the same noise.

    Args:
        noise: ``(B, N)``, uniform.
        ratio: part that is hidden.

    Returns:
        ``(B, N)`` bool, true for hidden.

    Example:
        >>> random_view_mask(torch.tensor([[0.3, 0.1, 0.9, 0.2]]), 0.5).tolist()
        [[True, False, True, False]]
    """
    return noise.argsort(dim=1) < int(ratio * noise.shape[1])


@MODELS.register_module()
class CroCo(BaseModel):
    """Pre-training on pairs of views by completing the first one.

    Args:
        network: arguments of :class:`dense3d.backbones.CrocoNetwork`.
        mask_ratio: part of the first view's patches that is hidden.
        norm_pix_loss: predict each patch normalised by its own mean and (unbiased) variance.
        masked_loss: whether hidden patches alone count, as published; otherwise all do.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        ``{"left": (B, 3, H, W), "right": (B, 3, H', W')}``, normalised RGB, whole patches: the first view,
        which is completed, and the second one, which is seen complete.

    Raises:
        ConfigError: the ratio is not between 0 and 1, or the network's arguments do not fit.
        DataError: images are not made of whole patches, or have so few that none is hidden or none is left.

    Example:
        >>> small = dict(enc_embed_dim=24, enc_depth=1, enc_num_heads=2, dec_embed_dim=16, dec_depth=1)
        >>> model = CroCo(dict(small, dec_num_heads=2, pos_embed="RoPE100"))
        >>> pair = {"left": torch.zeros(2, 3, 64, 64), "right": torch.zeros(2, 3, 64, 64)}
        >>> sorted(model(pair, mode="loss"))
        ['loss']
    """

    def __init__(
        self,
        network: dict,
        mask_ratio: float = 0.9,
        norm_pix_loss: bool = True,
        masked_loss: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not 0 < mask_ratio < 1:
            raise ConfigError(
                f"mask_ratio={mask_ratio}: it is the part of the patches to hide, between 0 and 1"
            )
        self.mask_ratio, self.norm_pix_loss, self.masked_loss = mask_ratio, norm_pix_loss, masked_loss
        self.network = CrocoNetwork(**{k: v for k, v in network.items() if k != "type"})
        dim, patch = self.network.dec_embed_dim, self.network.patch_size
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.prediction_head = nn.Linear(dim, 3 * patch**2)
        nn.init.normal_(self.mask_token, std=0.02)
        initialise(self.prediction_head)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        data_samples: list | None = None,
        mode: str = "tensor",
        noise: Tensor | None = None,
    ) -> dict[str, Tensor] | list[BaseDataElement] | tuple[Tensor, Tensor]:
        """Loss, reconstructions or predicted patches.

        Args:
            inputs: ``left`` and ``right``, the first and the second view ``(B, 3, H, W)``.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, data samples with ``image`` and ``second_view``,
                ``masked`` (hidden patches are 0) and ``reconstruction`` (hidden patches are painted), all
                ``(3, H, W)`` and normalised, and ``error``, the pair's own loss; or ``"tensor"``, predicted
                patches ``(B, N, p * p * 3)`` and the mask ``(B, N)``.
            noise: see :func:`random_view_mask`; drawn unless given.
        """
        first, second = inputs["left"], inputs["right"]
        hidden = self._mask(first, noise)
        count = int(self.mask_ratio * hidden.shape[1])
        predicted = self.complete(first, second, hidden, count)
        if mode == "loss":
            return {"loss": self.loss(first, predicted, hidden)}
        if mode == "predict":
            return self._samples(first, second, data_samples, predicted, hidden)
        return predicted, hidden

    def _mask(self, images: Tensor, noise: Tensor | None) -> Tensor:
        self.network.check_images(images)
        (height, width), size = images.shape[-2:], self.network.patch_size
        patches = height // size * (width // size)
        hidden = int(self.mask_ratio * patches)
        if hidden in (0, patches):
            raise DataError(
                f"of the {patches} patches in images of {height} x {width} pixels, mask_ratio="
                f"{self.mask_ratio} hides {hidden}; use larger images"
            )
        if noise is None:
            noise = torch.rand(len(images), patches, device=images.device)
        return random_view_mask(noise, self.mask_ratio)

    def complete(self, first: Tensor, second: Tensor, hidden: Tensor, count: int) -> Tensor:
        """Predict all patches of the first view from those that are not hidden and from the second view.

        Args:
            first, second: views ``(B, 3, H, W)`` and ``(B, 3, H', W')``.
            hidden: ``(B, N)``, true for the patches of the first view that the network must not see.
            count: how many are hidden of each sample.

        Returns:
            ``(B, N, p * p * 3)``.
        """
        network = self.network
        tokens, grid = network.embed(first)  # (B, N, D)
        kept = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, : hidden.shape[1] - count]  # in order
        _, seen = network.encode_tokens(_gathered(tokens, kept), self._positions(grid, kept))
        _, reference, reference_grid = network.encode(second)
        seen, reference = network.decoder_embed(seen), network.decoder_embed(reference)
        tokens = self.mask_token.to(seen.dtype).expand(*hidden.shape, -1)
        tokens = tokens.scatter(1, kept[..., None].expand_as(seen), seen)
        decoded = network.decode_embedded(tokens, grid, reference, reference_grid)
        return self.prediction_head(decoded[-1])

    def _positions(self, grid: tuple[int, int], kept: Tensor) -> Tensor | tuple[int, int]:
        """Rows and columns ``(B, K, 2)`` of the kept patches; tables are in the tokens already."""
        if self.network.enc_rope is None:
            return grid
        return torch.stack([kept // grid[1], kept % grid[1]], dim=-1)

    def loss(self, images: Tensor, predicted: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error of the hidden patches of the batch, or of all.

        Args:
            images: the first views ``(B, 3, H, W)``.
            predicted: ``(B, N, p * p * 3)``.
            hidden: ``(B, N)``, true for hidden.
        """
        return patch_loss(predicted, self.targets(images), hidden if self.masked_loss else None)

    def targets(self, images: Tensor) -> Tensor:
        """What the patches ``(B, N, p * p * 3)`` should become."""
        patches = patchify(images, self.network.patch_size)
        return normalised_patches(patches) if self.norm_pix_loss else patches

    def _samples(
        self, first: Tensor, second: Tensor, data_samples: list | None, predicted: Tensor, hidden: Tensor
    ) -> list[BaseDataElement]:
        masked, painted = paint(first, predicted, hidden, self.network.patch_size, self.norm_pix_loss)
        samples = data_samples or [BaseDataElement() for _ in first]
        for i, sample in enumerate(samples):
            error = self.loss(first[i : i + 1], predicted[i : i + 1], hidden[i : i + 1])
            views = dict(image=first, second_view=second, masked=masked, reconstruction=painted)
            height, width = sample.metainfo.get("img_shape", first.shape[-2:])[:2]
            sample.set_data({name: view[i, :, :height, :width] for name, view in views.items()})
            sample.set_data(dict(error=error))
        return samples


def _gathered(tokens: Tensor, indices: Tensor) -> Tensor:
    """The tokens ``(B, K, D)`` at ``indices`` ``(B, K)``."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[2]))
