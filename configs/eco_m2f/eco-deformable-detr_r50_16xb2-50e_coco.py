"""Step A of ECO-M2F for Deformable DETR, ResNet-50, COCO: images may leave after 2 ... 6 encoder layers.

The recipe of arXiv 2404.15244 on a detector; the schedule is mmdet's. Steps B and C: ``docs/eco-m2f.md``.
"""

_base_ = "mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py"

model = dict(
    type="dense3d.EarlyExitDeformableDETR",
    min_depth=2,
    depth=6,
    count_cost=True,
    backbone=dict(
        _delete_=True,
        type="dense3d.TimmBackbone",
        model_name="resnet50.tv_in1k",
        pretrained=True,
        out_strides=(8, 16, 32),
        frozen_stages=1,
        freeze_norm=True,
    ),
    neck=dict(in_channels="backbone"),
)
find_unused_parameters = True  # layers behind the exit of a batch
train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_evaluator = [{{_base_.val_evaluator}}, dict(type="dense3d.ExitCostMetric")]
test_evaluator = [{{_base_.test_evaluator}}, dict(type="dense3d.ExitCostMetric")]
