"""Cityscapes panoptic, 8 things and 11 stuff classes, crops of 1024 x 512.

``CITYSCAPES_DATASET=data/cityscapes csCreatePanopticImgs`` of cityscapesscripts makes the annotations.
"""

_base_ = "./loaders.py"

data_root = "data/cityscapes/"
crop_size = (1024, 512)  # width, height

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="LoadPanopticAnnotations"),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(
        type="RandomResize",
        resize_type="mmdet.Resize",
        scale=(2048, 1024),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    ),
    dict(
        type="mmdet.RandomCrop",
        crop_size=crop_size,
        crop_type="absolute",
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="mmdet.PhotoMetricDistortion"),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=(2048, 1024), keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    _base_._pack_result,
]
train_dataloader = dict(
    **_base_._training,
    dataset=dict(
        type="CityscapesPanopticDataset",
        data_root=data_root,
        ann_file="gtFine/cityscapes_panoptic_train.json",
        data_prefix=dict(img="leftImg8bit/train/", seg="gtFine/cityscapes_panoptic_train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="CityscapesPanopticDataset",
        data_root=data_root,
        ann_file="gtFine/cityscapes_panoptic_val.json",
        data_prefix=dict(img="leftImg8bit/val/", seg="gtFine/cityscapes_panoptic_val/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="PanopticQualityMetric",
    ann_file=data_root + "gtFine/cityscapes_panoptic_val.json",
    seg_prefix=data_root + "gtFine/cityscapes_panoptic_val/",
)
test_evaluator = val_evaluator
