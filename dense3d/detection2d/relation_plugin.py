"""Position relation in detectors of mmdet (Relation-DETR, arXiv 2407.11699, section 3).

``RelationDINO``, ``RelationDeformableDETR``, ``RelationDABDETR`` and ``RelationConditionalDETR`` are mmdet's
detectors with one more argument, ``relation=dict(type="PositionRelation", ...)``. Their other parameters keep
mmdet's names, so that weights of the plain detectors load. A hook before each decoder layer but the first
adds the bias to the mask of its self-attention: layer 1 gets the relation of the initial references to the
first predictions, layer i that of the predictions of layer i - 2 to those of layer i - 1.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmdet.models.detectors import DABDETR, DINO, ConditionalDETR, DeformableDETR
from mmdet.models.layers import inverse_sigmoid
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.registry import MODELS, SCOPE


class RelationPlugin:
    """What the relation adds to a detector of mmdet; stands before it in the list of bases.

    Args:
        relation: config of the relation encoder; None leaves the plain detector.

    Raises:
        ConfigError: the relation has other heads than the decoder's self-attention, or the decoder has no
            layer in which the relation acts.
    """

    mask_argument = "self_attn_mask"  # of the decoder's layers
    tiny_base: str  # config of mmdet's detector, for the table of compatibility

    def __init__(self, *args, relation: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if relation is None:
            return
        if len(self.decoder.layers) < 2:
            raise ConfigError(
                f"model.decoder.num_layers={len(self.decoder.layers)}, but the relation acts from the second "
                "layer on and would never be trained: set num_layers to 2 or more, or relation=None"
            )
        with DefaultScope.overwrite_default_scope(SCOPE):
            self.relation = MODELS.build(relation)
        for index, layer in enumerate(self.decoder.layers):
            if layer.self_attn.num_heads != self.relation.num_heads:
                raise ConfigError(
                    f"the relation has num_heads={self.relation.num_heads}, the decoder's self-attention "
                    f"{layer.self_attn.num_heads}: give both the same number"
                )
            if index:
                layer.register_forward_pre_hook(partial(self._add_relation, index), with_kwargs=True)

    def forward_decoder(self, **inputs: Any) -> dict:
        """Remember where the boxes start, then decode as mmdet does."""
        if hasattr(self, "relation"):
            with torch.no_grad():
                self._reference = self.initial_references(inputs)  # (B, Q, 2 or 4), refined layer by layer
            self._source = self._reference
        return super().forward_decoder(**inputs)

    def initial_references(self, inputs: dict[str, Any]) -> Tensor:
        """Points or boxes in [0, 1] that the first layer starts from: ``(B, Q, 2 or 4)``."""
        return inputs["reference_points"]

    def refine(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """What layer ``index`` predicts and hands on.

        Args:
            index: number of the layer.
            hidden: its output, ``(B, Q, C)``.
            reference: its references, ``(B, Q, 2 or 4)``.

        Returns:
            Predicted boxes ``(B, Q, 4)``, cxcywh in [0, 1], and the references of the next layer.
        """
        raise NotImplementedError

    def _add_relation(self, index: int, _layer: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        with torch.no_grad():
            target, self._reference = self.refine(index - 1, args[0], self._reference)
        # An initial reference that is a point has no size to measure with: the first boxes stand in.
        source = self._source if self._source.shape[-1] == 4 else target
        self._source = target
        bias = self.relation(source, target, attn_mask=kwargs.get(self.mask_argument))
        return args, kwargs | {self.mask_argument: self.attention_mask(bias)}

    def attention_mask(self, bias: Tensor) -> Tensor:
        """The bias ``(B, heads, Q, Q)`` as the self-attention takes it: ``(B * heads, Q, Q)``."""
        return bias.flatten(0, 1)

    @classmethod
    def tiny(cls, backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        relation = dict(type="dense3d.PositionRelation", embed_dims=16, num_heads=8)
        return dict(_base_=cls.tiny_base, type=f"dense3d.{cls.__name__}", relation=relation)


class RelationInConditionalAttention(RelationPlugin):
    """The plug-in for decoders with mmdet's ConditionalAttention, which refuses bfloat16 masks."""

    mask_argument = "self_attn_masks"

    def attention_mask(self, bias: Tensor) -> Tensor:
        """The bias as ``(B * heads, Q, Q)`` in float32."""
        return bias.flatten(0, 1).float()


def moved(offsets: Tensor, references: Tensor, eps: float = 1e-5) -> Tensor:
    """Boxes ``(B, Q, 4)`` from a box head's output and references of two or four numbers."""
    shift = inverse_sigmoid(references, eps=eps)
    return (offsets + F.pad(shift, (0, 4 - shift.shape[-1]))).sigmoid()


@MODELS.register_module()
class RelationDINO(RelationPlugin, DINO):
    """DINO (arXiv 2203.03605) with the relation; denoising queries take part behind their mask."""

    tiny_base = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"

    def refine(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        head = self.bbox_head.reg_branches[index]
        prediction = moved(head(self.decoder.norm(hidden)), reference)
        return prediction, moved(head(hidden), reference, eps=1e-3)


@MODELS.register_module()
class RelationDeformableDETR(RelationPlugin, DeformableDETR):
    """Deformable DETR (arXiv 2010.04159) with the relation, in one or two stages, refined or not."""

    tiny_base = "mmdet::deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py"

    def refine(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        prediction = moved(self.bbox_head.reg_branches[index](hidden), reference)
        return prediction, prediction if self.with_box_refine else reference


@MODELS.register_module()
class RelationDABDETR(RelationInConditionalAttention, DABDETR):
    """DAB-DETR (arXiv 2201.12329) with the relation."""

    tiny_base = "mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py"
    tiny_needs: ClassVar[dict] = dict(maps=1)

    def initial_references(self, inputs: dict[str, Any]) -> Tensor:
        return inputs["query_pos"].sigmoid()

    def refine(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        head = self.bbox_head.fc_reg
        prediction = moved(head(self.decoder.post_norm(hidden)), reference, eps=1e-3)
        return prediction, moved(head(hidden), reference)[..., : reference.shape[-1]]


@MODELS.register_module()
class RelationConditionalDETR(RelationInConditionalAttention, ConditionalDETR):
    """Conditional DETR (arXiv 2108.06152) with the relation; its reference points never move."""

    tiny_base = "mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py"
    tiny_needs: ClassVar[dict] = dict(maps=1)

    def initial_references(self, inputs: dict[str, Any]) -> Tensor:
        return self.decoder.ref_point_head(inputs["query_pos"]).sigmoid()

    def refine(self, index: int, hidden: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        head = self.bbox_head
        offsets = head.fc_reg(head.activate(head.reg_ffn(self.decoder.post_norm(hidden))))
        return moved(offsets, reference), reference
