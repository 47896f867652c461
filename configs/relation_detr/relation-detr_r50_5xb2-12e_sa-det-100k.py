"""Relation-DETR, ResNet-50, 12 epochs of SA-Det-100k: 100 000 images of SA-1B with boxes of one class.

Put the images into ``data/sa_det_100k/`` and the COCO-style annotations into
``data/sa_det_100k/annotations/``.
"""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

data_root = "data/sa_det_100k/"
metainfo = dict(classes=("object",))
model = dict(num_classes=1)
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file="annotations/train.json",
        data_prefix=dict(img="images/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file="annotations/val.json",
        data_prefix=dict(img="images/"),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = val_evaluator
