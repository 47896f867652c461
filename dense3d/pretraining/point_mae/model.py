"""The masked autoencoder of point clouds: most patches are hidden, their points are predicted.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022
(Pang-Yatian/Point-MAE).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.ops import chamfer_distance, chamfer_loss
from dense3d.pointcloud.batches import points_of
from dense3d.pointcloud.data_preprocessor import PointDataPreprocessor
from dense3d.pointcloud.grouping import Patches
from dense3d.pointcloud.patch_masks import block_mask, random_patch_mask
from dense3d.pointcloud.transformer import PointTransformer, initialise
from dense3d.pretraining.point_mae.decoder import PatchDecoder
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample

LOSSES = {"cdl1": 1, "cdl2": 2}
MASKS = ("rand", "block")


class Reconstruction(NamedTuple):
    """What the network made of a batch.

    Attributes:
        predicted: ``(B, H, K, 3)``, points of the hidden patches relative to their centres.
        patches: all patches.
        mask: ``(B, G)`` bool, true for hidden.
    """

    predicted: Tensor
    patches: Patches
    mask: Tensor

    def hidden(self, values: Tensor) -> Tensor:
        """Of values ``(B, G, ...)``, those of hidden patches ``(B, H, ...)``."""
        return values[self.mask].unflatten(0, (len(values), -1))

    def visible(self, values: Tensor) -> Tensor:
        """Of values ``(B, G, ...)``, those of visible patches ``(B, G - H, ...)``."""
        return values[~self.mask].unflatten(0, (len(values), -1))


@MODELS.register_module()
class PointMAE(BaseModel):
    """Pre-training on clouds by predicting the points of hidden patches.

    Args:
        encoder: arguments of :class:`dense3d.pointcloud.PointTransformer`.
        decoder: ``depth``, ``num_heads`` and ``drop_path_rate`` of the decoder; 4, 6 and the encoder's unless
            given.
        mask_ratio: part of the patches that is hidden, rounded down to whole ones.
        mask_type: ``"rand"``, or ``"block"`` for patches that lie together.
        loss: ``"cdl2"``, mean squared distances to the nearest points, both directions added; or ``"cdl1"``,
            mean distances, both directions averaged.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        clouds ``(B, N, 3)``, or what :class:`dense3d.pointcloud.PointDataPreprocessor` gives.

    Raises:
        ConfigError: no patch is hidden or none visible; an unknown mask or loss; a class token.
        DataError: a cloud has fewer points than groups or neighbours.

    Example:
        >>> small = dict(embed_dim=24, depth=1, num_heads=2, num_groups=8, group_size=4)
        >>> model = PointMAE(small, decoder=dict(depth=1, num_heads=2))
        >>> sorted(model(torch.rand(2, 32, 3), mode="loss"))
        ['loss']
    """

    def __init__(
        self,
        encoder: dict,
        decoder: dict | None = None,
        mask_ratio: float = 0.6,
        mask_type: str = "rand",
        loss: str = "cdl2",
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or PointDataPreprocessor(), init_cfg)
        settings = {k: v for k, v in encoder.items() if k != "type"}
        self.encoder = PointTransformer(**settings)
        self.mask_ratio, self.mask_type, self.loss_type = mask_ratio, mask_type, loss
        self._check_settings()
        rate = settings.get("drop_path_rate", 0.1)
        self.decoder = PatchDecoder(
            self.encoder.embed_dim, self.encoder.group_size, **{"drop_path_rate": rate, **(decoder or {})}
        )
        initialise(self.encoder)

    def _check_settings(self) -> None:
        groups = self.encoder.num_groups
        if not 0 < int(self.mask_ratio * groups) < groups:
            raise ConfigError(
                f"mask_ratio={self.mask_ratio} hides {int(self.mask_ratio * groups)} of {groups} patches: "
                "some have to be hidden and some visible"
            )
        if self.mask_type not in MASKS:
            raise ConfigError(f"mask_type={self.mask_type!r}: use one of {', '.join(map(repr, MASKS))}")
        if self.loss_type not in LOSSES:
            raise ConfigError(f"loss={self.loss_type!r}: use one of {', '.join(map(repr, LOSSES))}")
        if self.encoder.cls_token is not None:
            raise ConfigError("the encoder of Point-MAE has no class token: leave class_token out")

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor | None],
        data_samples: list[PointDataSample] | None = None,
        mode: str = "tensor",
        mask: Tensor | None = None,
    ) -> dict[str, Tensor] | list[PointDataSample] | Reconstruction:
        """Losses, reconstructed clouds or predicted patches.

        Args:
            inputs: clouds.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, see :meth:`samples`, with the same mask for all clouds every
                time; or ``"tensor"``, a :class:`Reconstruction`.
            mask: ``(B, G)`` bool, true for hidden and equally many of each cloud; drawn unless given.
        """
        points, lengths = points_of(inputs)
        found = self.reconstruct(points, lengths, mask, repeatable=mode == "predict")
        if mode == "loss":
            return {"loss": self.loss(found.predicted, found.hidden(found.patches.points))}
        return self.samples(found, data_samples) if mode == "predict" else found

    def reconstruct(
        self,
        points: Tensor,
        lengths: Tensor | None = None,
        mask: Tensor | None = None,
        repeatable: bool = False,
    ) -> Reconstruction:
        """Hide patches of clouds and predict their points.

        Args:
            points: ``(B, N, 3)``.
            lengths: ``(B,)``, how many first points of each cloud count.
            mask: see :meth:`forward`.
            repeatable: draw the mask anew from the same seed, one for all clouds.
        """
        patches = self.encoder.group(points, lengths)
        if mask is None:
            mask = self.draw_mask(patches.centres, repeatable)
        found = Reconstruction(points, patches, mask.to(points.device))
        centres = found.visible(patches.centres)
        tokens = self.encoder.patch_embed(patches.points, ~found.mask)
        latent, _ = self.encoder.encode(tokens, centres)
        return found._replace(predicted=self.decoder(latent, centres, found.hidden(patches.centres)))

    def draw_mask(self, centres: Tensor, repeatable: bool = False) -> Tensor:
        """A mask ``(B, G)`` for centres ``(B, G, 3)``, by ``mask_type``."""
        batch, groups = centres.shape[:2]
        if self.mask_type == "block":
            seeds = torch.zeros(batch, dtype=torch.long) if repeatable else None
            return block_mask(centres, self.mask_ratio, seeds)
        if repeatable:
            mask = random_patch_mask(1, groups, self.mask_ratio, np.random.RandomState(0))
            return mask.expand(batch, -1)
        return random_patch_mask(batch, groups, self.mask_ratio)

    def loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Chamfer loss of patches ``(B, H, K, 3)``, each a cloud of its own."""
        pair = (patches.float().flatten(0, 1) for patches in (predicted, target))
        return chamfer_loss(*pair, norm=LOSSES[self.loss_type])

    def samples(
        self, found: Reconstruction, data_samples: list[PointDataSample] | None
    ) -> list[PointDataSample]:
        """Clouds for the eye, and the error of each.

        Returns:
            Samples with ``visible_points``, ``hidden_points`` (the truth) and ``reconstructed_points``,
            ``(n, 3)`` each in the frame of the cloud; ``pred_centres`` ``(G, 3)``, those of hidden patches
            last; and ``error``, the cloud's own loss.
        """
        patches = found.patches
        centres = found.visible(patches.centres), found.hidden(patches.centres)
        visible = found.visible(patches.points) + centres[0][:, :, None]
        truth = found.hidden(patches.points)
        predicted = found.predicted.float()
        samples = data_samples or [PointDataSample() for _ in predicted]
        errors = self._errors(predicted, truth)
        for i, sample in enumerate(samples):
            middle = centres[1][i][:, None]
            sample.set_data(
                dict(
                    visible_points=visible[i].flatten(0, 1),
                    hidden_points=(truth[i] + middle).flatten(0, 1),
                    reconstructed_points=(predicted[i] + middle).flatten(0, 1),
                    pred_centres=torch.cat([centres[0][i], centres[1][i]]),
                    error=errors[i],
                )
            )
        return samples

    def _errors(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The loss of each cloud ``(B,)``."""
        norm = LOSSES[self.loss_type]
        pair = (patches.flatten(0, 1) for patches in (predicted, target))
        there, back = (d.unflatten(0, (len(target), -1)) for d in chamfer_distance(*pair, norm=norm))
        return (there.mean(dim=(1, 2)) + back.mean(dim=(1, 2))) / (2 if norm == 1 else 1)
