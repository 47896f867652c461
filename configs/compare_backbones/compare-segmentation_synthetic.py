"""Budget of segmentation for ``dense3d compare-backbones``: a small Semantic FPN, 150 synthetic batches.

The backbone here is only an example: the command puts each of its own in its place.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_ade20k_close-up.py",
    "../_base_/models/semantic_fpn.py",
    "../_base_/schedules/classifier_tiny.py",
]

max_iters = 150
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    data_preprocessor=dict(size=None, size_divisor=32),
    backbone=dict(type="dense3d.ConvNeXt", arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))),
    neck=dict(out_channels=48),
    decode_head=dict(
        in_channels=[48, 48, 48, 48], channels=48, num_classes=9, norm_cfg=norm_cfg, dropout_ratio=0.0
    ),
)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=50, end=max_iters, T_max=100, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
visualizer = dict(type="mmseg.SegLocalVisualizer")
