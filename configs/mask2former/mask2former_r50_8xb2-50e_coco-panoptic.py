"""Mask2Former with ResNet-50, 50 epochs of COCO panoptic: PQ 51.9, AP 41.7 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former IN OUT``.
"""

_base_ = [
    "../_base_/datasets/coco_panoptic.py",
    "../_base_/schedules/mask2former_50e.py",
    "../_base_/models/mask2former.py",
]

model = dict(
    num_classes=133,
    thing_classes=list(range(80)),
    data_preprocessor=dict(
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(1024, 1024), pad_mask=True, pad_seg=True)],
    ),
    backbone=dict(freeze_norm=True),
    test_cfg=dict(panoptic_on=True, instance_on=True, max_per_image=100),
)
val_evaluator = [
    _base_.val_evaluator,
    dict(
        type="mmdet.CocoMetric",
        ann_file=_base_.data_root + "annotations/instances_val2017.json",
        metric="segm",
    ),
]
test_evaluator = val_evaluator
train_dataloader = dict(sampler=dict(type="InfiniteSampler", shuffle=True), batch_sampler=None)
