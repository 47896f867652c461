"""ADE20K instances of 100 classes, crops of 640 x 640.

``datasets/prepare_ade20k_ins_seg.py`` of Mask2Former makes the annotations.
"""

_base_ = "./loaders.py"

data_root = "data/ade/ADEChallengeData2016/"

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="RandomChoiceResize",
        resize_type="mmdet.Resize",
        scales=[(2560, 64 * step) for step in range(5, 21)],
        keep_ratio=True,
    ),
    dict(
        type="mmdet.RandomCrop",
        crop_size=(640, 640),
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
    dict(type="mmdet.Resize", scale=(2560, 640), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    _base_._pack_result,
]
train_dataloader = dict(
    **_base_._training,
    dataset=dict(
        type="mmdet.ADE20KInstanceDataset",
        data_root=data_root,
        ann_file="ade20k_instance_train.json",
        data_prefix=dict(img="images/training/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="mmdet.ADE20KInstanceDataset",
        data_root=data_root,
        ann_file="ade20k_instance_val.json",
        data_prefix=dict(img="images/validation/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="mmdet.CocoMetric", ann_file=data_root + "ade20k_instance_val.json", metric="segm")
test_evaluator = val_evaluator
