"""Early exit in mmdet's detectors with a deformable encoder: Deformable DETR and DINO.

The recipe of ECO-M2F (arXiv 2404.15244) as its section on detection applies it: the same exits and gate, with
box AP of an image in the place of its panoptic quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdet.models.detectors import DINO, DeformableDETR
from torch import Tensor

from dense3d.early_exit.encoder import EarlyExitEncoder
from dense3d.early_exit.recipe import EarlyExit
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


class EarlyExitDetector(EarlyExit):
    """What both detectors say to the recipe."""

    tiny_base: str  # config of mmdet's detector, for the table of compatibility

    def install_exits(self) -> None:
        """The encoder is the detector's own."""
        self.encoder = EarlyExitEncoder(self.encoder)

    @property
    def exit_encoder(self) -> EarlyExitEncoder:
        """The detector's encoder."""
        return self.encoder

    def coarsest_map(self, features: Sequence[Tensor]) -> Tensor:
        """The last map of the neck."""
        return features[-1]

    def losses_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """mmdet's losses from the maps of the neck."""
        hidden = self.forward_transformer(features, data_samples)
        return self.bbox_head.loss(**hidden, batch_data_samples=data_samples)

    def results_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample], rescale: bool
    ) -> list[DetDataSample]:
        """mmdet's boxes from the maps of the neck."""
        hidden = self.forward_transformer(features, data_samples)
        found = self.bbox_head.predict(**hidden, rescale=rescale, batch_data_samples=data_samples)
        return self.add_pred_to_datasample(data_samples, found)

    def run_network(self, features: Sequence[Tensor], inputs: Tensor) -> object:
        """Boxes and classes of the last decoder layer."""
        from mmdet.structures import DetDataSample

        size = tuple(inputs.shape[-2:])
        samples = [DetDataSample(metainfo=dict(img_shape=size, batch_input_shape=size)) for _ in inputs]
        return self.bbox_head(**self.forward_transformer(features, samples))

    @classmethod
    def tiny(cls, backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(_base_=cls.tiny_base, type=f"dense3d.{cls.__name__}", min_depth=1)


@MODELS.register_module()
class EarlyExitDeformableDETR(EarlyExitDetector, DeformableDETR):
    """mmdet's ``DeformableDETR``, :class:`EarlyExit`: their arguments."""

    tiny_base = "mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py"


@MODELS.register_module()
class EarlyExitDINO(EarlyExitDetector, DINO):
    """mmdet's ``DINO``, :class:`EarlyExit`: their arguments."""

    tiny_base = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"
