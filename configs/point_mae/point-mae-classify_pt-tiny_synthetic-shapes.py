"""Classification of 21 families of synthetic objects from the small Point-MAE's encoder: minutes on a CPU.

Run ``point-mae_pt-tiny_synthetic-shapes.py`` first, or give ``model.backbone.init_cfg=None``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_shapes.py",
    "../_base_/schedules/point_tiny.py",
]

pretrained = "work_dirs/point-mae_pt-tiny_synthetic-shapes/iter_800.pth"
model = dict(
    type="PointClassifier",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        embed_dim=96,
        depth=4,
        num_heads=3,
        num_groups=32,
        group_size=16,
        init_cfg=dict(type="Pretrained", checkpoint=pretrained),
    ),
    num_classes=21,
)
val_evaluator = dict(type="PointClassification")
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=800))
log_processor = dict(by_epoch=False)
