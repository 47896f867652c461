"""A network that ``search.py`` has found, from random weights on the synthetic images of the supernet.

``model.backbone.network_def`` names its file. It trains on all training images, and validates on others.
"""

_base_ = "vit-resnas-super_synthetic.py"

model = dict(
    type="PatchMixClassifier",
    backbone=dict(
        _delete_=True,
        type="SearchedViTResNAS",
        network_def="work_dirs/vit-resnas-super_synthetic/network_def.json",
        pretrain_size=56,
        pyramid=False,
        drop_path_rate=0.0,
    ),
)
custom_hooks = []

classes = ("beam", "cone", "cross", "cube", "cylinder", "disc", "egg", "slab", "sphere", "torus")
resize = dict(type="ResizedCentre", size=(56, 56), margin=1.0)
folder = dict(_delete_=True, type="ClassFolder", classes=classes)
train_dataloader = dict(
    dataset=dict(
        **folder,
        data_root="data/synthetic/classes_64/train",
        pipeline=[
            dict(type="LoadImageFromFile"),
            resize,
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackImage"),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        **folder,
        data_root="data/synthetic/classes_64/val",
        test_mode=True,
        pipeline=[dict(type="LoadImageFromFile"), resize, dict(type="PackImage")],
    )
)
