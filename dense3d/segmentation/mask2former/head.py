"""mmdet's Mask2Former head with the official initialisation and precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.dense_heads import Mask2FormerHead as MMDetHead
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmengine import ConfigDict
from torch import Tensor, nn

from dense3d.registry import MODELS

FINEST_STRIDE = 4
# Arguments of the head in small models, for the table of compatibility.
TINY_HEAD = dict(
    num_queries=20,
    embed_dims=32,
    encoder_layers=1,
    encoder_channels=64,
    decoder_layers=2,
    decoder_channels=64,
)


@MODELS.register_module()
class Mask2FormerPixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's pixel decoder; it always computes in single precision, as the official one does."""

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features ``(B, C, h, w)`` at stride 4 and maps of strides 32, 16 and 8.

        Args:
            feats: maps of strides 4, 8, 16 and 32.
        """
        with torch.autocast(feats[0].device.type, enabled=False):
            return super().forward([feature.float() for feature in feats])

    def project_coarsest(self, feature: Tensor) -> Tensor:
        """What the encoder gets of the map of stride 32, ``(B, C, h, w)``."""
        with torch.autocast(feature.device.type, enabled=False):
            return self.input_convs[0](feature.float())

    def init_weights(self) -> None:
        """Xavier-uniform encoder weights where mmdet has Xavier-normal ones."""
        super().init_weights()
        xavier_uniform_(self.encoder)
        for module in self.encoder.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()


class Mask2FormerHead(MMDetHead):
    """mmdet's head without its losses; its decoder starts Xavier-uniform.

    Args:
        in_channels: channels of the maps of strides 4, 8, 16 and 32.
        num_classes: K, without void.
        num_queries: Q.
        embed_dims: channels of both transformers.
        num_heads: heads of all attentions.
        encoder_layers: of the pixel decoder.
        encoder_channels: inside its feed-forward networks.
        decoder_layers: of the transformer decoder.
        decoder_channels: inside its feed-forward networks.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        num_queries: int = 100,
        embed_dims: int = 256,
        num_heads: int = 8,
        encoder_layers: int = 6,
        encoder_channels: int = 1024,
        decoder_layers: int = 9,
        decoder_channels: int = 2048,
    ) -> None:
        position = dict(num_feats=embed_dims // 2, normalize=True)
        attention = dict(embed_dims=embed_dims, num_heads=num_heads, dropout=0.0, batch_first=True)
        super().__init__(
            in_channels=list(in_channels),
            feat_channels=embed_dims,
            out_channels=embed_dims,
            num_things_classes=num_classes,
            num_stuff_classes=0,
            num_queries=num_queries,
            pixel_decoder=ConfigDict(
                type="dense3d.Mask2FormerPixelDecoder",
                strides=[FINEST_STRIDE * 2**i for i in range(4)],
                encoder=dict(
                    num_layers=encoder_layers,
                    layer_cfg=dict(
                        self_attn_cfg=dict(**attention, num_levels=3, num_points=4),
                        ffn_cfg=_feedforward(embed_dims, encoder_channels),
                    ),
                ),
                positional_encoding=position,
            ),
            transformer_decoder=ConfigDict(
                return_intermediate=True,
                num_layers=decoder_layers,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    cross_attn_cfg=attention,
                    ffn_cfg=_feedforward(embed_dims, decoder_channels),
                ),
                init_cfg=None,
            ),
            positional_encoding=position,
            **_unused_losses(num_classes),
        )

    def init_weights(self) -> None:
        """The official initialisation; mmdet draws the decoder's weights from a normal distribution."""
        super().init_weights()
        xavier_uniform_(self.transformer_decoder)


def xavier_uniform_(module: nn.Module) -> None:
    """Xavier-uniform values for all matrices of ``module``."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def _feedforward(embed_dims: int, channels: int) -> dict:
    return dict(
        embed_dims=embed_dims,
        feedforward_channels=channels,
        num_fcs=2,
        ffn_drop=0.0,
        act_cfg=dict(type="ReLU", inplace=True),
    )


def _unused_losses(num_classes: int) -> dict:
    """What mmdet's constructor asks for; the losses come from our criterion."""
    entropy = dict(type="mmdet.CrossEntropyLoss", class_weight=[1.0] * num_classes + [0.1])
    return dict(
        loss_cls=ConfigDict(entropy),
        loss_mask=ConfigDict(type="mmdet.CrossEntropyLoss", use_sigmoid=True),
        loss_dice=ConfigDict(type="mmdet.DiceLoss"),
    )
