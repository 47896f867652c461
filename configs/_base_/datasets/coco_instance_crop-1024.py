"""COCO boxes and masks, augmented as for ViT-Adapter and ViT-CoMer: DETR's, then 1024 x 1024 at most."""

_base_ = "mmdet::_base_/datasets/coco_instance.py"

short_sides = [(side, 1333) for side in range(480, 801, 32)]
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True)],
            [
                dict(
                    type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True
                ),
                dict(
                    type="RandomCrop",
                    crop_type="absolute_range",
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type="RandomChoiceResize", scales=short_sides, keep_ratio=True),
            ],
        ],
    ),
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=(1024, 1024), allow_negative_crop=True),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
