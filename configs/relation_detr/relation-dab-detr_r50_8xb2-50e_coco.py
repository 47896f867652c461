"""DAB-DETR, ResNet-50, 50 epochs of COCO, with the position relation of Relation-DETR."""

_base_ = ["mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py", "../_base_/backbones/resnet.py"]

model = dict(
    type="dense3d.RelationDABDETR",
    relation=dict(
        type="dense3d.PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0
    ),
    backbone=dict(_delete_=True, **_base_._r50, out_strides=(32,), frozen_stages=1, freeze_norm=True),
    neck=dict(in_channels="backbone"),
)
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
