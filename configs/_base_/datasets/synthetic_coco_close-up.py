"""Synthetic close-ups with boxes and masks in COCO's format, rendered on first use (some minutes).

Rooms with one to three large things, 64 x 64 pixels: many small images teach more in the same time than few
larger ones.
"""

_base_ = ["./synthetic_coco.py"]

data_root = "data/synthetic/coco_close-up_64x64/"
size = (64, 64)
synthetic_data = dict(
    root=data_root, layouts=("coco",), train=6000, val=300, size=size, seed=0, scenes="close_up"
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=size, keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=50, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"])
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json", metric=["bbox", "segm"])
