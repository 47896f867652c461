"""DuoFormer checkpoints -> :class:`dense3d.backbones.DuoFormer` and its class head: the authors' layout.

ResNet's parts have the numbers of torchvision's children there, or, with self-supervised weights of
histology, torchvision's names. A file of torchvision's ResNet alone gives that part.
"""

from __future__ import annotations

from dense3d.checkpoints.renaming import Renaming

_T = r"vision_transformer\."
_CONVOLUTION = r"(weight|bias)"
_BACKBONE = (
    (r"resnet_projector\.(?:0|conv1)\.weight", r"resnet.conv1.weight"),
    (r"resnet_projector\.(?:1|bn1)\.(\w+)", r"resnet.bn1.\1"),
    *((rf"resnet_projector\.(?:{i + 3}|layer{i})\.(.+)", rf"resnet.layer{i}.\1") for i in range(1, 5)),
    (r"(conv1\.weight|bn1\.\w+|layer[1-4]\..+)", r"resnet.\1"),
    (r"channel_token", r"scale_token"),
    *(
        (rf"chann_proj{i}\.conv{j}\.{_CONVOLUTION}", rf"channel_token.reduce.{i - 1}.{j - 1}.\1")
        for i, j in ((1, 1), (1, 2), (2, 1))
    ),
    (rf"chann_proj_all\.nConvs\.(\d)\.conv\.{_CONVOLUTION}", r"channel_token.mix.\1.0.\2"),
    (r"chann_proj_all\.nConvs\.(\d)\.norm\.(\w+)", r"channel_token.mix.\1.1.\2"),
    (rf"projection\.proj_heads(\d)\.{_CONVOLUTION}", r"projections.\1.\2"),
    (_T + r"pos_embed_for_scale", r"scale_positions"),
    (_T + r"scaleBlocks\.(\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.\w+)", r"scale_blocks.\1"),
)
_HEAD = (
    (_T + r"(cls_token|pos_embed)", r"\1"),
    (_T + r"blocks\.(\d+)\.attn\.((?:qkv|proj)\.(?:weight|bias))", r"blocks.\1.\2"),
    (_T + r"head\.(weight|bias)", r"head.\1"),
)
_UNUSED = _T + r"fc_norm\.(weight|bias)"  # what it computes is not used

convert = Renaming(
    "DuoFormer",
    _BACKBONE,
    dropped=(
        _T + r"(cls_token|pos_embed)",
        _T + r"(blocks|head|fc_norm)\..*",
        r"(resnet_projector\.)?fc\..*",
    ),
    required=False,
)
convert_head = Renaming(
    "DuoFormer",
    _HEAD,
    dropped=(
        _UNUSED,
        _T + r"(pos_embed_for_scale|scaleBlocks\..*)",
        r"(resnet_projector|chann_proj\w+|projection)\..*",
        r"channel_token",
    ),
    required=False,
)
