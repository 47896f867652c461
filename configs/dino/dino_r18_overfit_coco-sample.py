"""Overfit 60 real COCO images, a check of the whole path on real annotations.

Training and evaluation data are the same images. It starts from what the synthetic run has learned, as
far as shapes fit (80 classes in place of 6 start anew): run
``configs/synthetic/dino_r18_synthetic-coco.py`` first. ``DENSE3D_SAMPLE_DATA`` names the folder that
holds ``coco/val2017`` and ``coco/annotations/instances_val2017.json`` (``data/samples`` by default).
"""

_base_ = ["../synthetic/dino_r18_synthetic-coco.py"]

data_root = "{{$DENSE3D_SAMPLE_DATA:data/samples}}/coco/"
synthetic_data = None
load_from = "work_dirs/dino_r18_synthetic-coco/epoch_5.pth"
strict_load = False

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(320, 320), keep_ratio=True),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=(320, 320), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        _delete_=True,
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type="CocoDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")

model = dict(
    num_queries=100,
    backbone=dict(freeze_norm=True),
    bbox_head=dict(num_classes=80),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=40)),
    test_cfg=dict(max_per_img=100),
)
max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=15)
default_hooks = dict(checkpoint=dict(interval=15))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.0))
