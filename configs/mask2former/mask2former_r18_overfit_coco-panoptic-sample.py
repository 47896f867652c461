"""Overfit 24 real COCO images with panoptic annotations, a check of the whole path on real annotations.

Training and evaluation data are the same images, at most 256 pixels a side; results have the images' full
size. It starts from what the synthetic run has learned, as far as shapes fit (133 classes in place of 9 and
50 queries in place of 20 start anew): run ``configs/synthetic/mask2former_r18_synthetic-panoptic.py`` first.
``DENSE3D_SAMPLE_DATA`` names the folder that holds ``coco_panoptic/val2017`` and
``coco_panoptic/annotations/panoptic_val2017*`` (``data/samples`` by default).
"""

_base_ = ["../synthetic/mask2former_r18_synthetic-panoptic.py"]

data_root = "{{$DENSE3D_SAMPLE_DATA:data/samples}}/coco_panoptic/"
annotations = data_root + "annotations/panoptic_val2017"
synthetic_data = None
load_from = "work_dirs/mask2former_r18_synthetic-panoptic/epoch_6.pth"
strict_load = False

scale = (256, 256)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPanopticAnnotations"),
    dict(type="mmdet.Resize", scale=scale, keep_ratio=True),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=scale, keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
dataset = dict(
    _delete_=True,
    type="CocoPanopticDataset",
    data_root=data_root,
    ann_file="annotations/panoptic_val2017.json",
    data_prefix=dict(img="val2017/", seg="annotations/panoptic_val2017/"),
)
train_dataloader = dict(batch_size=2, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(**dataset, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=annotations + ".json", seg_prefix=annotations + "/")
test_evaluator = val_evaluator

model = dict(
    num_classes=133,
    thing_classes=tuple(range(80)),
    backbone=dict(freeze_norm=True),
    head=dict(num_queries=50),
    criterion=dict(num_points=2048),
)
max_epochs = 150
train_cfg = dict(max_epochs=max_epochs, val_interval=30)
default_hooks = dict(checkpoint=dict(interval=30))
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
