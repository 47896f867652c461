"""ADE20K panoptic, 100 things and 50 stuff classes, crops of 640 x 640.

``prepare_ade20k_pan_seg.py`` of Mask2Former makes the annotations; the areas that it writes do not count what
things hide, hence ``strict=False``.
"""

_base_ = "./loaders.py"

data_root = "data/ade/ADEChallengeData2016/"
crop_size = (640, 640)

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="LoadPanopticAnnotations", strict=False),
    dict(
        type="RandomChoiceResize",
        resize_type="mmdet.Resize",
        scales=[(2560, 64 * step) for step in range(5, 21)],  # short side 320 .. 1280, long side up to 2560
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
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=(2560, 640), keep_ratio=True),
    dict(type="LoadPanopticAnnotations", strict=False),
    _base_._pack_result,
]
train_dataloader = dict(
    **_base_._training,
    dataset=dict(
        type="ADE20KPanopticDataset",
        data_root=data_root,
        ann_file="ade20k_panoptic_train.json",
        data_prefix=dict(img="images/training/", seg="ade20k_panoptic_train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="ADE20KPanopticDataset",
        data_root=data_root,
        ann_file="ade20k_panoptic_val.json",
        data_prefix=dict(img="images/validation/", seg="ade20k_panoptic_val/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="PanopticQualityMetric",
    ann_file=data_root + "ade20k_panoptic_val.json",
    seg_prefix=data_root + "ade20k_panoptic_val/",
    strict=False,
)
test_evaluator = val_evaluator
