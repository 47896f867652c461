"""COCO panoptic, 80 things and 53 stuff classes, with large-scale jitter at 1024 x 1024."""

_base_ = "./loaders.py"

data_root = "data/coco/"
image_size = (1024, 1024)

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="LoadPanopticAnnotations"),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(
        type="RandomResize",
        resize_type="mmdet.Resize",
        scale=image_size,
        ratio_range=(0.1, 2.0),
        keep_ratio=True,
    ),
    dict(type="RandomCropKeepingThings", crop_size=image_size),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    _base_._pack_result,
]
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),
    dataset=dict(
        type="CocoPanopticDataset",
        data_root=data_root,
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img="train2017/", seg="annotations/panoptic_train2017/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="CocoPanopticDataset",
        data_root=data_root,
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(img="val2017/", seg="annotations/panoptic_val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="PanopticQualityMetric",
    ann_file=data_root + "annotations/panoptic_val2017.json",
    seg_prefix=data_root + "annotations/panoptic_val2017/",
)
test_evaluator = val_evaluator
