"""COCO boxes with DETR's augmentation: short sides of 480 to 800 pixels, half are cropped."""

_base_ = ["mmdet::_base_/datasets/coco_detection.py", "./detr_augmentation.py"]

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomFlip", prob=0.5),
    _base_._resize_or_crop,
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
