"""Official kMaX-DeepLab checkpoints (PyTorch) -> :class:`KMaXDeepLab`.

Convolutions of one axis become convolutions of maps with a kernel of 1, position tables are parameters; the
names of everything else change only ("_predcitor" is the official spelling).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.convnext import convert as convert_convnext
from dense3d.checkpoints.mask_transformers import MaskTransformer
from dense3d.checkpoints.renaming import Renaming

_PIXEL = r"sem_seg_head\.pixel_decoder\."
_BLOCK = _PIXEL + r"_stages\.(\d+)\._blocks\.(\d+)\."
_AXIS = _BLOCK + r"_attention\._(height|width)_axis\."
_OUR_AXIS = r"pixel_decoder.stages.\1.\2.attention.\3."
_PREDICTOR = r"sem_seg_head\.predictor\."
_LAYER = _PREDICTOR + r"_kmax_transformer_layers\.(\d+)\."
_OUR_LAYER = r"decoder.layers.\1."
_SEMANTIC = _PREDICTOR + r"_auxiliary_semantic_predictor\."


def _head(official: str, ours: str, last: int) -> tuple[tuple[str, str], ...]:
    """Rules of one predictor; ``last`` is the number of the group after those of the prefix."""
    names = {
        r"_pixel_space_head_conv0bnact": "pixel_depthwise",
        r"_pixel_space_head_conv1bnact": "pixel_proj",
        r"_pixel_space_head_last_convbn": "pixel_output",
        r"_transformer_mask_head": "mask_kernel",
        r"_transformer_class_head\.conv": "class_proj",
        r"_pixel_space_mask_batch_norm": "mask_norm",
    }
    return tuple(
        (rf"{official}_predcitor\.{name}\.(.+)", rf"{ours}predictor.{own}.\{last}")
        for name, own in names.items()
    )


_RULES = (
    (_PIXEL + r"_in_norms\.(.+)", r"pixel_decoder.in_norms.\1"),
    (_PIXEL + r"_resized_fuses\.(\d+)\._conv_bn_(low|high)\.(.+)", r"pixel_decoder.fuses.\1.\2.\3"),
    (_BLOCK + r"_(conv[12])_bn_act\.(.+)", r"pixel_decoder.stages.\1.\2.\3.\4"),
    (_BLOCK + r"_conv3_bn\.(.+)", r"pixel_decoder.stages.\1.\2.conv3.\3"),
    (_BLOCK + r"_shortcut\.(.+)", r"pixel_decoder.stages.\1.\2.shortcut.\3"),
    (_AXIS + r"qkv_transform\.conv\.weight", _OUR_AXIS + "qkv.weight"),
    (_AXIS + r"_(query|key|value)_rpe\._embeddings\.weight", _OUR_AXIS + r"\4_position"),
    (_AXIS + r"_batch_norm_qkv\.(.+)", _OUR_AXIS + r"norm_qkv.\4"),
    (_AXIS + r"_batch_norm_similarity\.(.+)", _OUR_AXIS + r"norm_logits.\4"),
    (_AXIS + r"_batch_norm_retrieved_output\.(.+)", _OUR_AXIS + r"norm_output.\4"),
    (_PREDICTOR + r"_cluster_centers\.weight", "decoder.cluster_centers"),
    (_PREDICTOR + r"_(class|mask)_embedding_projection\.(.+)", r"decoder.\1_proj.\2"),
    (_LAYER + r"_(query|pixel)_conv1_bn_act\.(.+)", _OUR_LAYER + r"\2_proj.\3"),
    (_LAYER + r"_pixel_v_conv_bn\.(.+)", _OUR_LAYER + r"value_proj.\2"),
    (_LAYER + r"_kmeans_query_batch_norm_retrieved_value\.(.+)", _OUR_LAYER + r"cluster_norm.\2"),
    (_LAYER + r"_kmeans_query_conv3_bn\.(.+)", _OUR_LAYER + r"cluster_proj.\2"),
    (_LAYER + r"_query_qkv_conv_bn\.(.+)", _OUR_LAYER + r"attention.qkv.\2"),
    (
        _LAYER + r"_query_self_attention\._batch_norm_similarity\.(.+)",
        _OUR_LAYER + r"attention.norm_logits.\2",
    ),
    (
        _LAYER + r"_query_self_attention\._batch_norm_retrieved_value\.(.+)",
        _OUR_LAYER + r"attention.norm_values.\2",
    ),
    (_LAYER + r"_query_conv3_bn\.(.+)", _OUR_LAYER + r"attention.proj.\2"),
    (_LAYER + r"_query_ffn_conv1_bn_act\.(.+)", _OUR_LAYER + r"feedforward.0.\2"),
    (_LAYER + r"_query_ffn_conv2_bn\.(.+)", _OUR_LAYER + r"feedforward.1.\2"),
    *_head(_LAYER, _OUR_LAYER, last=2),
    *_head(_PREDICTOR, "decoder.", last=1),
    (_SEMANTIC + r"_aspp\._aspp_conv(\d)\.(.+)", r"semantic_head.aspp.branches.\1.\2"),
    (_SEMANTIC + r"_aspp\._aspp_pool\.(.+)", r"semantic_head.aspp.pooled.\1"),
    (_SEMANTIC + r"_aspp\._proj_conv_bn_act\.(.+)", r"semantic_head.aspp.proj.\1"),
    (_SEMANTIC + r"_low_level_projection_os8\.(.+)", r"semantic_head.low_proj.0.\1"),
    (_SEMANTIC + r"_low_level_projection_os4\.(.+)", r"semantic_head.low_proj.1.\1"),
    (_SEMANTIC + r"_low_level_fusion_os8_conv(\d)_bn_act\.(.+)", r"semantic_head.fusion.0.\1.\2"),
    (_SEMANTIC + r"_low_level_fusion_os4_conv(\d)_bn_act\.(.+)", r"semantic_head.fusion.1.\1.\2"),
    (_SEMANTIC + r"conv_block_(\d)\.(.+)", r"semantic_head.final.\1.\2"),
    (_SEMANTIC + r"final_conv\.conv\.(.+)", r"semantic_head.classifier.\1"),
    (_SEMANTIC + r"([01])\.(.+)", r"semantic_head.final.\1.\2"),
    (_SEMANTIC + r"2\.conv\.(.+)", r"semantic_head.classifier.\1"),
)
_rename = Renaming(
    "kMaX-DeepLab",
    _RULES,
    dropped=(r"pixel_mean", r"pixel_std", r"criterion\..*"),
    required=False,
)


def _convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value[..., None] if name.endswith(".qkv.weight") else value
        for name, value in _rename(official).items()
    }


convert = MaskTransformer(
    "kMaX-DeepLab",
    mark="_kmax_transformer_layers.",
    head=_convert_head,
    backbone=convert_convnext,
    class_rows=r".*predictor\.class_proj\.(weight|bias)|semantic_head\.classifier\.(weight|bias)",
)
convert_cityscapes, convert_ade20k = convert.cityscapes, convert.ade20k
