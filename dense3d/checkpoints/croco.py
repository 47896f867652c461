"""CroCo of naver/croco, pre-trained: for ``CroCo`` and, the encoder alone, for ``VisionTransformer``.

Weinzaepfel et al., "CroCo", NeurIPS 2022, and "CroCo v2", ICCV 2023. What the network of a file is,
:mod:`dense3d.checkpoints.croco_settings` reads from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.vit_layout import StateDict, rename, unwrapped

_BOTH = r"\.(?:weight|bias)"
_ATTENTION = r"norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12]"
# names of the network of two views, which the models for stereo and flow have as well
NETWORK_RULES = (
    (rf"(patch_embed\.proj{_BOTH})", r"network.\1"),
    (rf"(enc_blocks\.\d+\.(?:{_ATTENTION}){_BOTH})", r"network.\1"),
    (rf"(enc_norm{_BOTH})", r"network.\1"),
    (rf"(decoder_embed{_BOTH})", r"network.\1"),
    (rf"(dec_blocks\.\d+\.(?:{_ATTENTION}|norm3|cross_attn\.proj[qkv]?){_BOTH})", r"network.\1"),
    (rf"(dec_norm{_BOTH})", r"network.\1"),
)
# those that networks without a norm of the second view, or with rotary positions, do not have
OPTIONAL_RULES = (
    (rf"(dec_blocks\.\d+\.norm_y{_BOTH})", r"network.\1"),
    (r"((?:enc|dec)_pos_embed)", r"network.\1"),
)
_HEAD_RULES = ((r"(mask_token)", r"\1"), (rf"(prediction_head{_BOTH})", r"\1"))
_ENCODER_RULES = (
    (rf"(patch_embed\.proj{_BOTH})", r"\1"),
    (rf"enc_(blocks\.\d+\.(?:{_ATTENTION}){_BOTH})", r"\1"),
    (rf"enc_(norm{_BOTH})", r"\1"),
)
_NOT_OF_THE_ENCODER = (r"(dec_|decoder_embed|mask_token|prediction_head|head\.).*",)


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a pre-training checkpoint for ``CroCo``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    return rename("croco", unwrapped(official), OPTIONAL_RULES, required=(*NETWORK_RULES, *_HEAD_RULES))


def convert_encoder(official: Mapping[str, Tensor]) -> StateDict:
    """Convert the encoder of a checkpoint, official or ours, for ``VisionTransformer``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    rules = ((r"enc_(pos_embed)", r"\1"),)
    state = rename("croco", unwrapped(official), rules, _NOT_OF_THE_ENCODER, _ENCODER_RULES)
    if "pos_embed" in state:
        state["pos_embed"] = state["pos_embed"][None]  # (1, N, D)
    return state
