"""CvT checkpoints -> :class:`dense3d.backbones.CvT` and its class head: Microsoft's layout."""

from __future__ import annotations

from dense3d.checkpoints.renaming import Renaming

_BLOCK = r"stage(\d+)\.blocks\.(\d+)\."
_OURS = r"stages.\1.blocks.\2."
_ATTENTION = (
    r"attn\.(conv_proj_[qkv]\.(?:conv\.weight|bn\.\w+)|proj_[qkv]\.(?:weight|bias)|proj\.(?:weight|bias))"
)
_BACKBONE = (
    (r"stage(\d+)\.cls_token", r"stages.\1.cls_token"),
    (r"stage(\d+)\.patch_embed\.(proj|norm)\.(weight|bias)", r"stages.\1.patch_embed.\2.\3"),
    (_BLOCK + r"(norm[12]|mlp\.fc[12])\.(weight|bias)", _OURS + r"\3.\4"),
    (_BLOCK + _ATTENTION, _OURS + r"attn.\3"),
)
_HEAD = ((r"norm\.(weight|bias)", r"norm.\1"), (r"head\.(weight|bias)", r"head.\1"))

# The classifier's norm and linear layer are left out: maps have norms of their own.
convert = Renaming("CvT", _BACKBONE, dropped=(r"(norm|head)\.(weight|bias)",), required=False)
convert_head = Renaming("CvT", _HEAD, dropped=(r"stage\d+\..*",), required=False)
