"""Parts of 21 families of synthetic objects from the small Point-MAE's encoder: minutes on a CPU.

Run ``point-mae_pt-tiny_synthetic-shapes.py`` first, or give ``model.backbone.init_cfg=None``. There are 61
parts, numbered through all families.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_shapes.py",
    "../_base_/schedules/point_tiny.py",
]

pretrained = "work_dirs/point-mae_pt-tiny_synthetic-shapes/iter_800.pth"
model = dict(
    type="PartSegmenter",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        embed_dim=96,
        depth=4,
        num_heads=3,
        num_groups=32,
        group_size=16,
        init_cfg=dict(type="Pretrained", checkpoint=pretrained),
    ),
    num_parts=61,
    category_parts=[
        [0, 1], [2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12], [13, 14, 15], [16, 17, 18], [19, 20, 21],
        [22, 23, 24], [25, 26], [27, 28, 29], [30, 31, 32], [33, 34], [35, 36, 37, 38],
        [39, 40, 41], [42, 43, 44, 45], [46, 47, 48], [49, 50, 51], [52, 53], [54, 55, 56],
        [57, 58], [59, 60],
    ],
    fetch_blocks=(1, 2, 3),
    propagation_channels=(192, 128),
)  # fmt: skip
train_dataloader = dict(batch_size=16)
val_evaluator = dict(type="PartIoU")
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=1e-3))
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=40,
        end=max_iters,
        T_max=max_iters - 40,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
