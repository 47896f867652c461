"""Any folder of images without labels, at 224 x 224, with MAE's augmentation.

``DENSE3D_IMAGES`` names the folder that holds ``train/`` and ``val/``, searched at any depth; ImageNet's
own layout is one.
"""

data_root = "{{$DENSE3D_IMAGES:data/imagenet}}/"

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomResizedCrop", size=(224, 224), area=(0.2, 1.0)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackImage"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizedCentre", size=(224, 224)),
    dict(type="PackImage"),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ImageFolder", data_root=data_root + "train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ImageFolder", data_root=data_root + "val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
