"""CIFAR-10 as a folder with ``train/CLASS`` and ``val/CLASS`` of images of 32 pixels.

``DENSE3D_CIFAR10`` names the folder (``data/cifar10`` by default); any folder of that form will do. Training
images are cut out at random, four fifths of them or more, and mirrored or not.
"""

data_root = "{{$DENSE3D_CIFAR10:data/cifar10}}/"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomResizedCrop", size=(32, 32), area=(0.8, 1.0)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackImage"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizedCentre", size=(32, 32), margin=1.0),
    dict(type="PackImage"),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ClassFolder", data_root=data_root + "train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ClassFolder", data_root=data_root + "val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ClassAccuracy")
test_evaluator = val_evaluator
