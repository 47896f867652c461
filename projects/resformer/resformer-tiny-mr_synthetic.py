"""A small ResFormer at 48, 32 and 24 pixels at once on synthetic images of ten solids: minutes on CPU cores.

``--cfg-options "model.resolutions=(48,)"`` trains at one resolution.
"""

_base_ = "dense3d::classification/resnet-tiny_synthetic.py"

model = dict(
    type="dense3d.MultiResolutionClassifier",
    resolutions=(48, 32, 24),
    backbone=dict(
        _delete_=True,
        type="ResFormer",
        arch=dict(embed_dim=64, depth=3, num_heads=4, patch_size=8, mlp_ratio=2.0),
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(48, 48)),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackImage"),
        ]
    )
)
