"""TNT and PyramidTNT checkpoints -> :class:`dense3d.backbones.TNT`, :class:`dense3d.backbones.PyramidTNT`.

``tnt`` reads huawei-noah's layout and timm's of it. The position of the class token is added to the token;
``outer_tokens``, which the official code stores and never uses, is left out, as is the classifier.
``pyramid-tnt`` keeps the official names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_PART = r"(?:weight|bias)"
_RULES = (
    (r"(cls_token)", r"\1"),
    (r"inner_pos", "word_pos"),
    (r"outer_pos", "pos_embed"),
    (rf"((?:patch_embed\.proj|proj|proj_norm[12]|norm)\.{_PART})", r"\1"),
    (rf"(blocks\.\d+\.(?:inner|outer)_(?:norm[12]|mlp\.fc[12])\.{_PART})", r"\1"),
    (rf"(blocks\.\d+\.(?:inner|outer)_attn\.(?:qk|v|proj)\.{_PART})", r"\1"),
    (rf"(blocks\.\d+\.(?:proj|proj_norm[12])\.{_PART})", r"\1"),
    (rf"(blocks\.\d+\.se_layer\.fc\.\d\.{_PART})", r"\1"),
)
_tnt = Renaming("TNT", _RULES, dropped=(r"head\..*", "outer_tokens"), required=False)
_NEEDED = ("cls_token", "word_pos", "pos_embed", "patch_embed.proj.weight", "blocks.0.inner_attn.qk.weight")

# timm's names of blocks -> official ones
_TIMM = (
    (r"pixel_embed\.", "patch_embed."),
    (r"pixel_pos$", "inner_pos"),
    (r"patch_pos$", "outer_pos"),
    (r"norm([12])_proj\.", r"proj_norm\1."),
    (r"(blocks\.\d+)\.norm([12])_proj\.", r"\1.proj_norm\2."),
    (r"(blocks\.\d+)\.norm_in\.", r"\1.inner_norm1."),
    (r"(blocks\.\d+)\.norm_mlp_in\.", r"\1.inner_norm2."),
    (r"(blocks\.\d+)\.norm_out\.", r"\1.outer_norm1."),
    (r"(blocks\.\d+)\.norm_mlp\.", r"\1.outer_norm2."),
    (r"(blocks\.\d+)\.attn_in\.", r"\1.inner_attn."),
    (r"(blocks\.\d+)\.attn_out\.", r"\1.outer_attn."),
    (r"(blocks\.\d+)\.mlp_in\.", r"\1.inner_mlp."),
    (r"(blocks\.\d+)\.mlp\.", r"\1.outer_mlp."),
)

_PYRAMID_RULES = (
    (r"((?:inner|outer)_pos)", r"\1"),
    (r"(patch_embed\.(?:common_conv|inner_convs|outer_convs)\.\d\.\w+)", r"\1"),
    (rf"((?:word|sentence)_merges\.\d\.(?:norm|conv\.0)\.{_PART})", r"\1"),
    (r"(stages\.\d\.relative_pos)", r"\1"),
    (rf"(stages\.\d\.blocks\.\d+\.(?:inner|outer)_(?:norm[12]|mlp\.fc[12])\.{_PART})", r"\1"),
    (rf"(stages\.\d\.blocks\.\d+\.(?:inner|outer)_attn\.(?:q|kv|proj|linear|norm)\.{_PART})", r"\1"),
    (rf"(stages\.\d\.blocks\.\d+\.(?:proj|proj_norm[12])\.{_PART})", r"\1"),
    (rf"(stages\.\d\.blocks\.\d+\.se_layer\.fc\.\d\.{_PART})", r"\1"),
)
_pyramid = Renaming("PyramidTNT", _PYRAMID_RULES, dropped=(rf"norm\.{_PART}", r"head\..*"), required=False)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout of TNT, or timm's.

    Raises:
        CheckpointError: names are missing or unexpected, or the file is of timm's older network, which
            convolves the whole image and computes something else.
    """
    if "patch_pos" in official:
        official = _official_names(official)
    state = _tnt(official)
    missing = [name for name in _NEEDED if name not in state]
    if missing:
        raise CheckpointError(f"this is no official TNT checkpoint: it lacks {', '.join(missing)}")
    table = state["pos_embed"]  # (1, 1 + N, D)
    return state | {"cls_token": state["cls_token"] + table[:, :1], "pos_embed": table[:, 1:].clone()}


def convert_pyramid(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official layout of PyramidTNT.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = _pyramid(official)
    if "outer_pos" not in state:
        raise CheckpointError("this is no official PyramidTNT checkpoint: it lacks outer_pos")
    return state


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of any of the layouts: ``norm`` and ``head``."""
    return norm_and_linear(official)


def _official_names(timm: Mapping[str, Tensor]) -> dict[str, Tensor]:
    official = {}
    for name, value in timm.items():
        for pattern, ours in _TIMM:
            name = re.sub(rf"^{pattern}", ours, name)
        if name == "inner_pos":
            value = value.flatten(2).transpose(1, 2)  # (1, c, 4, 4) -> (1, 16, c)
        official[name] = value
    if "blocks.0.proj_norm1.weight" in official and "blocks.0.proj_norm2.weight" not in official:
        raise CheckpointError(
            "this file is of timm's tnt_*_legacy_*, which convolves the whole image before it cuts patches: "
            "take the official file or timm's tnt_*_patch16_224"
        )
    return official
