"""Any folder of images without labels, at 224 x 224, with MAE's augmentation.

``DENSE3D_TRAIN_IMAGES`` and ``DENSE3D_VAL_IMAGES`` name two folders, searched at any depth; without the
second, the first serves for both, and the error is none of held-out images. ``DENSE3D_IMAGES`` names instead
a folder that holds ``train/`` and ``val/``, as ImageNet's does (``data/imagenet`` by default).
"""

data_root = "{{$DENSE3D_IMAGES:data/imagenet}}/"
train_images, val_images = "{{$DENSE3D_TRAIN_IMAGES:-}}", "{{$DENSE3D_VAL_IMAGES:-}}"  # "-" if not set
if val_images == "-":
    val_images = data_root + "val" if train_images == "-" else train_images
if train_images == "-":
    train_images = data_root + "train"

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
    dataset=dict(type="ImageFolder", data_root=train_images, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ImageFolder", data_root=val_images, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
