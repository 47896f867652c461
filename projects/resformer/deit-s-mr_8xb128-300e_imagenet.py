"""DeiT-S, with its own table of positions, trained as ResFormer-S is: at 224, 160 and 128 pixels at once.

``type="dense3d.GlobalLocalPositions"`` around the backbone, as ``vit``, gives it ResFormer's positions.
"""

_base_ = "resformer-s-mr_8xb128-300e_imagenet.py"

model = dict(
    backbone=dict(_delete_=True, type="VisionTransformer", arch="deit_small_patch16", drop_path_rate=0.1)
)
