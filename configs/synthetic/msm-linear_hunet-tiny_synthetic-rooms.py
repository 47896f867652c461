"""A linear layer on frozen features of the small HUNet: 14 classes of synthetic rooms, minutes on one core.

Run ``msm_hunet-tiny_synthetic-rooms.py`` first, or give ``model.backbone.init_cfg=None``. ``dense3d
probe-scenes`` with this config compares its features with those of random weights and with raw ones.
``model.frozen=False`` trains the backbone, too.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/hunet_tiny.py",
    "../_base_/datasets/synthetic_rooms.py",
    "../_base_/schedules/point_tiny.py",
]

pretrained = "work_dirs/msm_hunet-tiny_synthetic-rooms/iter_1200.pth"
model = dict(
    type="SceneSegmenter",
    backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=pretrained)),
    num_classes=14,
    frozen=True,
)
val_evaluator = dict(type="SceneIoU", by_class=False)
test_evaluator = dict(type="SceneIoU")
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=20,
        end=max_iters,
        T_max=max_iters - 20,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
