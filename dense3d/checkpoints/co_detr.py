"""Official Co-DETR checkpoints (Co-DINO) -> :class:`CoDINO` of ``dense3d.detection2d``.

Sense-X/Co-DETR with a ResNet or a Swin, and the Co-DETR branch of Traffic-X/ViT-CoMer. Official files with
``with_coord_feat`` hold an embedding of features that Co-DINO's configs do not use; it has no place here.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.resnet import convert as convert_resnet
from dense3d.checkpoints.swin import convert as convert_swin
from dense3d.checkpoints.vit_comer import convert as convert_vit_comer
from dense3d.errors import CheckpointError

_TRANSFORMER = r"query_head\.transformer\."
_LAYER = _TRANSFORMER + r"(encoder|decoder)\.layers\.(\d+)\."
_OUR_LAYER = r"\1.layers.\2."
_SCALES = range(2, 7)  # p2 to p6

_rename = Renaming(
    "Co-DETR",
    rules=(
        (r"(neck\.(?:convs|extra_convs)\.\d+\.(?:conv|gn)\.(?:weight|bias))", r"\1"),
        *((rf"neck\.p{scale}\.(.+)", rf"neck.scales.{scale - 2}.\1") for scale in _SCALES),
        *((rf"neck\.fc{k}{k}\.weight", f"neck.laterals.{k - 1}.weight") for k in range(1, 5)),
        (_TRANSFORMER + r"level_embeds", "level_embed"),
        (_LAYER + r"attentions\.0\.attn\.(.+)", _OUR_LAYER + r"self_attn.attn.\3"),
        (_TRANSFORMER + r"encoder\.layers\.(\d+)\.attentions\.0\.(.+)", r"encoder.layers.\1.self_attn.\2"),
        (_TRANSFORMER + r"decoder\.layers\.(\d+)\.attentions\.1\.(.+)", r"decoder.layers.\1.cross_attn.\2"),
        (_LAYER + r"ffns\.0\.(.+)", _OUR_LAYER + r"ffn.\3"),
        (_LAYER + r"(norms\..+)", _OUR_LAYER + r"\3"),
        (_TRANSFORMER + r"decoder\.ref_point_head\.0\.(.+)", r"decoder.ref_point_head.layers.0.\1"),
        (_TRANSFORMER + r"decoder\.ref_point_head\.2\.(.+)", r"decoder.ref_point_head.layers.1.\1"),
        (_TRANSFORMER + r"(decoder\.norm\..+)", r"\1"),
        (_TRANSFORMER + r"enc_output\.(.+)", r"memory_trans_fc.\1"),
        (_TRANSFORMER + r"enc_output_norm\.(.+)", r"memory_trans_norm.\1"),
        (_TRANSFORMER + r"query_embed\.weight", "query_embedding.weight"),
        (_TRANSFORMER + r"aux_pos_trans\.(\d+)\.(.+)", r"query_embeddings.\1.0.\2"),
        (_TRANSFORMER + r"aux_pos_trans_norm\.(\d+)\.(.+)", r"query_embeddings.\1.1.\2"),
        (r"query_head\.(downsample\..+)", r"\1"),
        (r"query_head\.((?:cls|reg)_branches\..+)", r"bbox_head.\1"),
        (r"query_head\.label_embedding\.weight", "dn_query_generator.label_embedding.weight"),
        (r"(rpn_head\..+)", r"auxiliary_heads.0.\1"),
        (r"roi_head\.0\.(.+)", r"auxiliary_heads.0.roi_head.\1"),
        (r"bbox_head\.0\.(.+)", r"auxiliary_heads.1.\1"),
    ),
    required=False,
)
_BACKBONE = "backbone."


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official state dict.

    Raises:
        CheckpointError: it is no such checkpoint; the message lists the names that do not fit.
    """
    if not any(name.startswith("query_head.transformer.aux_pos_trans.") for name in official):
        raise CheckpointError(
            "this is no official Co-DETR checkpoint: it has no name like "
            "query_head.transformer.aux_pos_trans.*"
        )
    backbone = {n.removeprefix(_BACKBONE): v for n, v in official.items() if n.startswith(_BACKBONE)}
    rest = {name: value for name, value in official.items() if not name.startswith(_BACKBONE)}
    converted = {f"{_BACKBONE}{name}": value for name, value in _convert_backbone(backbone).items()}
    return converted | _rename(rest)


def _convert_backbone(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet keeps its names inside a ``TimmBackbone``."""
    if any(name.startswith("interactions.") for name in official):
        return convert_vit_comer(official)
    if "patch_embed.proj.weight" in official:
        return convert_swin(official)
    return {f"body.{name}": value for name, value in convert_resnet(official).items()}
