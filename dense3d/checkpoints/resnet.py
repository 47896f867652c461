"""ResNet as torchvision saves it -> mmdet's ``ResNet`` backbone.

He et al., Deep Residual Learning for Image Recognition, 2015; torchvision.models.resnet. Both code bases use
the same names; mmdet's backbone has no classifier.
"""

from __future__ import annotations

from dense3d.checkpoints.renaming import Renaming

convert = Renaming(
    "resnet",
    rules=(
        (r"(conv1\.weight|bn1\..+)", r"\1"),
        (r"(layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01])\..+)", r"\1"),
    ),
    dropped=(r"fc\.(weight|bias)",),
)
