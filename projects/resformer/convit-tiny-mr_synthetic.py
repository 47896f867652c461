"""A small ConViT with ResFormer's positions at 32, 24 and 16 pixels at once, on synthetic solids: minutes.

A ConViT starts as a convolution, which helps where images are few: here 2,000.
``--cfg-options "model.resolutions=(32,)"`` trains at one resolution.
"""

_base_ = "dense3d::classification/resnet-tiny_synthetic.py"

arch = dict(embed_dim=48, depth=3, num_heads=4, patch_size=8, mlp_ratio=2.0, pretrain_size=32, local_layers=2)
model = dict(
    type="dense3d.MultiResolutionClassifier",
    resolutions=(32, 24, 16),
    backbone=dict(_delete_=True, type="dense3d.GlobalLocalPositions", vit=dict(type="ConViT", arch=arch)),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="ResizedCentre", size=(32, 32), margin=1.0),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackImage"),
        ]
    )
)
