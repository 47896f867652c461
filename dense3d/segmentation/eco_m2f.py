"""Mask2Former with early exit from the encoder of its pixel decoder.

Yao et al., "Efficient Transformer Encoders for Mask2Former-style models" (arXiv 2404.15244; code of the first
author: github.com/GYeow/ECO-M2F).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dense3d.early_exit.encoder import EarlyExitEncoder
from dense3d.early_exit.recipe import EarlyExit
from dense3d.registry import MODELS
from dense3d.segmentation.mask2former.model import Mask2Former


@MODELS.register_module()
class ECOM2F(EarlyExit, Mask2Former):
    """Mask2Former, :class:`EarlyExit`: their arguments.

    Nothing but the depth changes at an exit: feature pyramid, mask features and decoder are shared. Weights
    of a Mask2Former fit, without the gate's.
    """

    def install_exits(self) -> None:
        """The encoder lies in the pixel decoder."""
        pixel_decoder = self.panoptic_head.pixel_decoder
        pixel_decoder.encoder = EarlyExitEncoder(pixel_decoder.encoder)

    @property
    def exit_encoder(self) -> EarlyExitEncoder:
        """The pixel decoder's encoder."""
        return self.panoptic_head.pixel_decoder.encoder

    def coarsest_map(self, features: Sequence[Tensor]) -> Tensor:
        """The map of stride 32 as the encoder gets it."""
        return self.panoptic_head.pixel_decoder.project_coarsest(features[-1])

    def predict_layers(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """As Mask2Former's, each image from the depth that is due."""
        features = self.extract_feat(inputs)
        with self.leaving_by_gate(features):
            return self.decode(features)

    def run_network(self, features: Sequence[Tensor], inputs: Tensor) -> object:
        """All predictions."""
        return self.decode(features)

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        model = Mask2Former.tiny(backbone, maps)
        return model | dict(type="dense3d.ECOM2F", head=model["head"] | dict(encoder_layers=2), min_depth=1)
