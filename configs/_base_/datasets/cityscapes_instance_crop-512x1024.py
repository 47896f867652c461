"""Cityscapes instances of 8 classes, crops of 1024 x 512.

``tools/dataset_converters/cityscapes.py`` of mmdet makes the annotations in COCO's format. AP is COCO's: the
official evaluation of Cityscapes differs in how it averages.
"""

_base_ = "./loaders.py"

data_root = "data/cityscapes/"

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="RandomChoiceResize",
        resize_type="mmdet.Resize",
        scales=[(4096, int(102.4 * step)) for step in range(5, 21)],
        keep_ratio=True,
    ),
    dict(
        type="mmdet.RandomCrop",
        crop_size=(1024, 512),  # width, height
        crop_type="absolute",
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="mmdet.PhotoMetricDistortion"),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=(2048, 1024), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    _base_._pack_result,
]
train_dataloader = dict(
    **_base_._training,
    dataset=dict(
        type="mmdet.CityscapesDataset",
        data_root=data_root,
        ann_file="annotations/instancesonly_filtered_gtFine_train.json",
        data_prefix=dict(img="leftImg8bit/train/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="mmdet.CityscapesDataset",
        data_root=data_root,
        ann_file="annotations/instancesonly_filtered_gtFine_val.json",
        data_prefix=dict(img="leftImg8bit/val/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="mmdet.CocoMetric",
    ann_file=data_root + "annotations/instancesonly_filtered_gtFine_val.json",
    metric="segm",
)
test_evaluator = val_evaluator
