"""PiMAE of BLVLab/PiMAE: pre-training, and its encoders for detectors.

Chen et al., "PiMAE: Point Cloud and Image Interactive Masked Autoencoders for 3D Object Detection", CVPR
2023.
Official files hold their weights under ``base_model``, with ``module.`` in front of all names or of some.
Tables of sines and cosines are computed here and not stored; they have to be what is computed. Of the norms
behind the encoders, which exist there and are never called, nothing is kept, nor of the image branch's class
token or of ``fusion_proj``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dense3d.checkpoints.point_mae import unwrapped
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError
from dense3d.layers.patch_embed import sincos_position_table

StateDict = dict[str, Tensor]

_W = r"(weight|bias)"
_N = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BLOCK = rf"(\d+)\.(norm[12]|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.{_W}"
_DROPPED = (
    r"pc_branch\.MAE_encoder\.norm\..*",
    r"norm\..*",
    r"img_branch\.norm\..*",
    r"img_branch\.cls_token",
    r"fusion_proj\..*",
)
_TABLES = ("img_branch.pos_embed", "img_branch.decoder_pos_embed")
TABLE_TOLERANCE = 1e-4


def _layers(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Rules of an encoder of 3DETR's layers."""
    stem, place = rf"{theirs}\.layers\.(\d+)", rf"{ours}layers.\1"
    return [
        (rf"{stem}\.self_attn\.in_proj_{_W}", rf"{place}.attention.in_proj.\2"),
        (rf"{stem}\.self_attn\.out_proj\.{_W}", rf"{place}.attention.out_proj.\2"),
        (rf"{stem}\.linear1\.{_W}", rf"{place}.feedforward.0.\2"),
        (rf"{stem}\.linear2\.{_W}", rf"{place}.feedforward.3.\2"),
        (rf"{stem}\.(norm[12])\.{_W}", rf"{place}.\2.\3"),
    ]


_RULES = [
    ("cls_token", "cls_token"),
    ("modality_img_embedding", "image_modality"),
    ("modality_pc_embedding", "point_modality"),
    *_layers(r"blocks", "shared_encoder."),
    *_layers(r"pc_branch\.MAE_encoder\.blocks", "point_encoder."),
    *(
        (rf"pc_branch\.MAE_encoder\.encoder\.{theirs}\.{_N}", rf"point_encoder.patch_embed.{ours}.\1")
        for theirs, ours in (
            (r"first_conv\.0", "linear1"),
            (r"first_conv\.1", "norm1"),
            (r"first_conv\.3", "linear2"),
            (r"second_conv\.0", "linear3"),
            (r"second_conv\.1", "norm3"),
            (r"second_conv\.3", "linear4"),
        )
    ),
    (rf"pc_branch\.MAE_encoder\.pos_embed\.([02])\.{_W}", r"point_encoder.pos_embed.\1.\2"),
    (r"pc_branch\.mask_token", "decoder.point_mask_token"),
    (rf"pc_branch\.decoder_pos_embed\.([02])\.{_W}", r"decoder.point_position.\1.\2"),
    (rf"pc_branch\.decoder_embed\.{_W}", r"decoder.point_embed.\1"),
    (rf"pc_branch\.MAE_decoder\.blocks\.{_BLOCK}", r"decoder.point_blocks.\1.\2.\3"),
    (rf"pc_branch\.MAE_decoder\.norm\.{_W}", r"decoder.point_norm.\1"),
    (rf"pc_branch\.increase_dim\.0\.{_W}", r"decoder.predict_points.\1"),
    (rf"img_branch\.patch_embed\.proj\.{_W}", r"image_encoder.patch_embed.proj.\1"),
    (rf"img_branch\.blocks\.{_BLOCK}", r"image_encoder.blocks.\1.\2.\3"),
    (rf"img_branch\.decoder_embed\.{_W}", r"decoder.image_embed.\1"),
    (r"img_branch\.mask_token", "decoder.image_mask_token"),
    (rf"img_branch\.decoder_blocks\.{_BLOCK}", r"decoder.image_blocks.\1.\2.\3"),
    (rf"img_branch\.decoder_norm\.{_W}", r"decoder.image_norm.\1"),
    (rf"img_branch\.decoder_pred\.{_W}", r"decoder.predict_pixels.\1"),
]
_CROSS = [(rf"increase_dim_feat\.0\.{_W}", r"decoder.predict_cross.\1")]
_SHARED = [
    ("decoder_modality_img_embed", "decoder.image_modality"),
    ("decoder_modality_pc_embed", "decoder.point_modality"),
    (rf"decoder_blocks\.{_BLOCK}", r"decoder.shared_blocks.\1.\2.\3"),
    (rf"decoder_norm\.{_W}", r"decoder.shared_norm.\1"),
]
_ENCODERS = ("point_encoder.", "shared_encoder.")


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert a pre-training checkpoint for ``Gaussian2SceneStage1``.

    Raises:
        CheckpointError: names are missing or unexpected, or a table of positions is not that of sines and
            cosines.
    """
    state = unwrapped(official)
    for name in _TABLES:
        if name in state:
            _check_table(name, state.pop(name))
    rules = list(_RULES)
    rules += _CROSS if "increase_dim_feat.0.weight" in state else []
    rules += _SHARED if "decoder_norm.weight" in state else []
    converted = Renaming("pimae", rules, dropped=_DROPPED)(state)
    is_kernel = {n for n, value in converted.items() if n.endswith(".weight") and value.ndim == 3}
    return {n: value.squeeze(2) if n in is_kernel else value for n, value in converted.items()}


def encoder_layers(checkpoint: Mapping[str, Any]) -> StateDict:
    """Layers for the encoder of ``ThreeDETR``: those of the points' own encoder, then the shared ones.

    Args:
        checkpoint: a file of stage one or two of ours, or an official one of PiMAE.

    Returns:
        ``layers.N. ...``, numbered through both encoders.

    Raises:
        CheckpointError: there are no such layers in it.
    """
    state = stage1_weights(checkpoint)
    found: StateDict = {}
    offset = 0
    for prefix in _ENCODERS:
        own = {
            n.removeprefix(f"{prefix}layers."): v
            for n, v in state.items()
            if n.startswith(f"{prefix}layers.")
        }
        for name, value in own.items():
            number, _, rest = name.partition(".")
            found[f"layers.{int(number) + offset}.{rest}"] = value
        offset += len({name.partition(".")[0] for name in own})
    if not found:
        raise CheckpointError(
            "the checkpoint holds no encoder of PiMAE or of Gaussian2Scene: no name like "
            "point_encoder.layers.0 or shared_encoder.layers.0, so that nothing of it would be loaded"
        )
    return found


def tokenizer_weights(checkpoint: Mapping[str, Any]) -> StateDict:
    """What gives tokens to the encoder's layers: weights of ``PointTokenizer``.

    The vector that tells points from images is added to every token, and so it goes into the last bias of
    the positions.

    Raises:
        CheckpointError: there is no such part in it.
    """
    state = stage1_weights(checkpoint)
    parts = ("point_encoder.patch_embed.", "point_encoder.pos_embed.")
    found = {n.removeprefix("point_encoder."): v.clone() for n, v in state.items() if n.startswith(parts)}
    if not found or "point_modality" not in state:
        raise CheckpointError(
            "the checkpoint holds no tokens of PiMAE or of Gaussian2Scene: no name like "
            "point_encoder.patch_embed.linear1, so that nothing of it would be loaded"
        )
    found["pos_embed.2.bias"] += state["point_modality"].flatten()
    return found


def stage1_weights(checkpoint: Mapping[str, Any]) -> StateDict:
    """The weights of stage one in a file of either stage, or in an official one.

    Raises:
        CheckpointError: an official file has missing or unexpected names.
    """
    state = unwrapped(checkpoint)
    if any("MAE_encoder." in name for name in state):
        state = convert(checkpoint)
    return {name.removeprefix("autoencoder."): value for name, value in state.items()}


def _check_table(name: str, table: Tensor) -> None:
    """The stored table has to be that of a grid of as many patches."""
    count, dim = table.shape[1:]
    for rows in range(1, count + 1):
        if count % rows == 0:
            own = sincos_position_table((rows, count // rows), dim)
            if torch.allclose(own, table.float(), atol=TABLE_TOLERANCE):
                return
    raise CheckpointError(
        f"{name} of this pimae checkpoint is not the table of sines and cosines of any grid of {count} "
        "patches, which the model computes; such a checkpoint cannot be converted"
    )
