"""Checkpoints of PoolFormer and the MetaFormer baselines, official or timm's, classification and dense.

``poolformer`` -> :class:`dense3d.backbones.PoolFormer`; ``metaformer`` (CAFormer, ConvFormer, PoolFormerV2,
IdentityFormer, RandFormer) -> :class:`dense3d.backbones.MetaFormer`. Classifiers are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming

_LEAF = r"(weight|bias)"
_BLOCK = r"(stages\.\d\.blocks\.\d+)\."
_SHARED = (
    (rf"{_BLOCK}(norm[12]|mlp\.fc[12])\.{_LEAF}", r"\1.\2.\3"),
    (rf"{_BLOCK}layer_scale_?([12])(?:\.scale)?", r"\1.layer_scale\2.scale"),
)
_NETWORK = r"(?:norm|head|head\.norm|head\.fc)"
_CLASSIFIER = rf"{_NETWORK}(?:\.(?:fc[12]|norm))?\.(?:weight|bias)"

_poolformer = Renaming(
    "PoolFormer",
    rules=(
        *_SHARED,
        (rf"(stages\.\d\.embed)\.(?:proj|conv)\.{_LEAF}", r"\1.\2"),
        (rf"(norm\d)\.{_LEAF}", r"\1.\2"),
    ),
    dropped=(_CLASSIFIER,),
    required=False,
)
_metaformer = Renaming(
    "MetaFormer",
    rules=(
        *_SHARED,
        (rf"{_BLOCK}(res_scale[12]\.scale)", r"\1.\2"),
        (rf"{_BLOCK}(mlp\.act|token_mixer\.act[12])\.(scale|bias)", r"\1.\2.\3"),
        (rf"{_BLOCK}token_mixer\.(pwconv[12]|dwconv|qkv|proj)\.weight", r"\1.token_mixer.\2.weight"),
        (rf"{_BLOCK}token_mixer\.random_matrix", r"\1.token_mixer.random_matrix"),
        (rf"(stages\.\d\.embed)\.conv\.{_LEAF}", r"\1.conv.\2"),
        (r"(stages\.\d\.embed)\.(?:pre_|post_)?norm\.weight", r"\1.norm.weight"),
    ),
    dropped=(_CLASSIFIER,),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A MetaFormer baseline.

    Raises:
        CheckpointError: a name is not a MetaFormer's.
    """
    return _converted(official, _metaformer)


def convert_poolformer(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """PoolFormer, whose dense files number the output norms by their place: ``norm0``, 2, 4, 6.

    Raises:
        CheckpointError: a name is not PoolFormer's.
    """
    return _converted(official, _poolformer)


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file of either, or of timm's.

    timm's of PoolFormer has the same weights, but takes the mean before the norm.
    """
    is_timm = any(name.startswith("head.fc.") for name in official)
    head = {}
    for name, value in official.items():
        if re.fullmatch(_CLASSIFIER, name):
            if is_timm:
                name = name.replace("head.norm", "norm", 1).replace("head.fc.", "head.", 1)
            head[name] = value
    return head


def _converted(official: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    converted = renaming({ours(name): value for name, value in official.items()})
    return {name: _pixelwise(name, value) for name, value in converted.items()}


def _pixelwise(name: str, value: Tensor) -> Tensor:
    """Matrices on the channels of a pixel are 1x1 convolutions here."""
    is_conv = re.search(r"(mlp\.fc[12]|token_mixer\.pwconv[12])\.weight$", name)
    return value[:, :, None, None] if is_conv and value.dim() == 2 else value


def ours(name: str) -> str:
    """Our name of an official stage, embedding or output norm, or of timm's, and of what is in it.

    Example:
        >>> ours("network.2.0.token_mixer"), ours("network.3.proj.bias"), ours("norm4.bias")
        ('stages.1.blocks.0.token_mixer', 'stages.2.embed.proj.bias', 'norm2.bias')
        >>> ours("downsample_layers.0.conv.bias"), ours("stages.2.0"), ours("stages.3.downsample.conv.bias")
        ('stages.0.embed.conv.bias', 'stages.2.blocks.0', 'stages.3.embed.conv.bias')
    """
    place = re.match(r"network\.(\d)", name)
    if place:
        number = int(place[1])
        part = f"stages.{number // 2}.blocks" if number % 2 == 0 else f"stages.{number // 2 + 1}.embed"
        return part + name[place.end() :]
    norm = re.match(r"norm([0246])(?=\.)", name)
    if norm:
        return f"norm{int(norm[1]) // 2}{name[norm.end() :]}"
    name = re.sub(r"^(?:patch_embed|stem)(?=\.)", "stages.0.embed", name)
    name = re.sub(r"^downsample_layers\.(\d)", r"stages.\1.embed", name)
    name = re.sub(r"^stages\.(\d)\.downsample", r"stages.\1.embed", name)
    return re.sub(r"^stages\.(\d)\.(\d)", r"stages.\1.blocks.\2", name)
