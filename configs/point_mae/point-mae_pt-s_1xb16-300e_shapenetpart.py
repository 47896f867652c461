"""Point-MAE on ShapeNetPart as published: 86.1 instance mIoU, 16 clouds a step, 300 epochs.

The official code steps twice on each gradient, before and after it clips it; its figure comes from that.
``optim_wrapper.type=OptimWrapper`` takes one clipped step.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/shapenetpart.py",
    "../_base_/schedules/point_mae_300e.py",
]

pretrained = "work_dirs/point-mae_pt-s_1xb128-300e_shapenet55/epoch_301.pth"
model = dict(
    type="PartSegmenter",
    data_preprocessor=dict(type="PointDataPreprocessor"),
    backbone=dict(
        embed_dim=384,
        depth=12,
        num_heads=6,
        num_groups=128,
        group_size=32,
        drop_path_rate=0.1,
        init_cfg=dict(type="Pretrained", checkpoint=pretrained),
    ),
    num_parts=50,
    category_parts=[
        [0, 1, 2, 3], [4, 5], [6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18], [19, 20, 21], [22, 23],
        [24, 25, 26, 27], [28, 29], [30, 31, 32, 33, 34, 35], [36, 37], [38, 39, 40], [41, 42, 43],
        [44, 45, 46], [47, 48, 49],
    ],
    fetch_blocks=(3, 7, 11),
)  # fmt: skip
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(type="TwoStepOptimWrapper", optimizer=dict(lr=2e-4))
default_hooks = dict(checkpoint=dict(save_best="part/instance_miou", rule="greater"))
