"""A folder with ``train/CLASS`` and ``val/CLASS``, as ImageNet's, at 224 x 224, with DeiT's RandAugment.

``DENSE3D_IMAGES`` names the folder (``data/imagenet`` by default). Classes are the folders of each split;
``train_dataloader.dataset.classes`` and ``val_dataloader.dataset.classes`` may name a list instead.
"""

data_root = "{{$DENSE3D_IMAGES:data/imagenet}}/"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomResizedCrop", size=(224, 224)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="TimmAutoAugment", policy="rand-m9-mstd0.5-inc1"),
    dict(type="PackImage"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizedCentre", size=(224, 224)),
    dict(type="PackImage"),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ClassFolder", data_root=data_root + "train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ClassFolder", data_root=data_root + "val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ClassAccuracy")
test_evaluator = val_evaluator
