"""A linear layer on frozen features of the large HUNet, from its pre-training or the released weights."""

_base_ = ["hunet_large.py"]

pretrained = "work_dirs/msm_hunet-l_4xb4-800e_scannet/epoch_800.pth"
model = dict(
    type="SceneSegmenter",
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=pretrained)),
    num_classes=20,
    frozen=True,
    train_points=100000,
)
val_evaluator = dict(type="SceneIoU", by_class=False)
test_evaluator = dict(type="SceneIoU")
