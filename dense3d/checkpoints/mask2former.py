"""Official Mask2Former checkpoints (detectron2) -> :class:`Mask2Former` of ``dense3d.segmentation``.

The names of the head become mmdet's. Older official files call the query features ``static_query``.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.mask_transformers import MaskTransformer
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.swin import convert as convert_swin

_PIXEL = r"sem_seg_head\.pixel_decoder\."
_OURS = "panoptic_head.pixel_decoder."
_ENCODER = _PIXEL + r"transformer\.encoder\.layers\.(\d+)\."
_OUR_ENCODER = _OURS + r"encoder.layers.\1."
_PREDICTOR = r"sem_seg_head\.predictor\."
_OUR_DECODER = r"panoptic_head.transformer_decoder.layers.\1."

rename_head = Renaming(
    "Mask2Former",
    rules=(
        (_PIXEL + r"input_proj\.(\d)\.0\.(.+)", _OURS + r"input_convs.\1.conv.\2"),
        (_PIXEL + r"input_proj\.(\d)\.1\.(.+)", _OURS + r"input_convs.\1.gn.\2"),
        (_PIXEL + r"transformer\.level_embed", _OURS + "level_encoding.weight"),
        (_ENCODER + r"(self_attn\..+)", _OUR_ENCODER + r"\2"),
        (_ENCODER + r"norm1\.(.+)", _OUR_ENCODER + r"norms.0.\2"),
        (_ENCODER + r"norm2\.(.+)", _OUR_ENCODER + r"norms.1.\2"),
        (_ENCODER + r"linear1\.(.+)", _OUR_ENCODER + r"ffn.layers.0.0.\2"),
        (_ENCODER + r"linear2\.(.+)", _OUR_ENCODER + r"ffn.layers.1.\2"),
        (_PIXEL + r"adapter_1\.norm\.(.+)", _OURS + r"lateral_convs.0.gn.\1"),
        (_PIXEL + r"adapter_1\.weight", _OURS + "lateral_convs.0.conv.weight"),
        (_PIXEL + r"layer_1\.norm\.(.+)", _OURS + r"output_convs.0.gn.\1"),
        (_PIXEL + r"layer_1\.weight", _OURS + "output_convs.0.conv.weight"),
        (_PIXEL + r"mask_features\.(.+)", _OURS + r"mask_feature.\1"),
        (
            _PREDICTOR + r"transformer_cross_attention_layers\.(\d+)\.multihead_attn\.(.+)",
            _OUR_DECODER + r"cross_attn.attn.\2",
        ),
        (_PREDICTOR + r"transformer_cross_attention_layers\.(\d+)\.norm\.(.+)", _OUR_DECODER + r"norms.0.\2"),
        (
            _PREDICTOR + r"transformer_self_attention_layers\.(\d+)\.self_attn\.(.+)",
            _OUR_DECODER + r"self_attn.attn.\2",
        ),
        (_PREDICTOR + r"transformer_self_attention_layers\.(\d+)\.norm\.(.+)", _OUR_DECODER + r"norms.1.\2"),
        (
            _PREDICTOR + r"transformer_ffn_layers\.(\d+)\.linear1\.(.+)",
            _OUR_DECODER + r"ffn.layers.0.0.\2",
        ),
        (_PREDICTOR + r"transformer_ffn_layers\.(\d+)\.linear2\.(.+)", _OUR_DECODER + r"ffn.layers.1.\2"),
        (_PREDICTOR + r"transformer_ffn_layers\.(\d+)\.norm\.(.+)", _OUR_DECODER + r"norms.2.\2"),
        (_PREDICTOR + r"decoder_norm\.(.+)", r"panoptic_head.transformer_decoder.post_norm.\1"),
        (_PREDICTOR + r"static_query\.weight", "panoptic_head.query_feat.weight"),
        (_PREDICTOR + r"(query_feat|query_embed|level_embed)\.weight", r"panoptic_head.\1.weight"),
        (_PREDICTOR + r"class_embed\.(.+)", r"panoptic_head.cls_embed.\1"),
        (_PREDICTOR + r"mask_embed\.layers\.0\.(.+)", r"panoptic_head.mask_embed.0.\1"),
        (_PREDICTOR + r"mask_embed\.layers\.1\.(.+)", r"panoptic_head.mask_embed.2.\1"),
        (_PREDICTOR + r"mask_embed\.layers\.2\.(.+)", r"panoptic_head.mask_embed.4.\1"),
        (_PREDICTOR + r"input_proj\.(\d)\.(.+)", r"panoptic_head.decoder_input_projs.\1.\2"),
    ),
    dropped=(r"criterion\.empty_weight", r"pixel_mean", r"pixel_std"),
    required=False,
)
convert = MaskTransformer(
    "Mask2Former",
    mark="transformer_cross_attention_layers.",
    head=rename_head,
    backbone=convert_swin,
    class_rows=r"panoptic_head\.cls_embed\.(weight|bias)",
)
convert_cityscapes, convert_ade20k = convert.cityscapes, convert.ade20k


def convert_semantic(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """:func:`convert` for semantic segmentation: to :class:`Mask2FormerSemanticHead` in mmseg's model.

    The official order of the classes of ADE20K and Cityscapes is mmseg's.
    """
    head, ours = "panoptic_head.", "decode_head.network."
    return {
        ours + name.removeprefix(head) if name.startswith(head) else name: value
        for name, value in convert(official).items()
    }
