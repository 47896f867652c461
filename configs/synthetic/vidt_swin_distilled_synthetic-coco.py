"""ViDT with two thirds of the channels that learns the tokens of the small ViDT+: minutes on two CPU cores.

Token matching of arXiv 2110.03921, section 3.4. The teacher is ``vidt-plus_swin_synthetic-coco``, to be
trained first. The student learns boxes alone, on levels fused as the teacher's are. ``model.teacher=None``
trains it without.
"""

_base_ = ["./vidt-plus_swin_synthetic-coco.py"]

model = dict(
    mask_vectors=None,
    iou_aware=False,
    token_label=False,
    data_preprocessor=dict(pad_mask=False),
    backbone=dict(arch=dict(embed_dim=16)),
    teacher=dict(
        config="vidt-plus_swin_synthetic-coco",
        checkpoint="work_dirs/vidt-plus_swin_synthetic-coco/epoch_6.pth",
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric="bbox")
test_evaluator = dict(metric="bbox")
