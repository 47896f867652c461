"""Budget of detection for ``dense3d compare-backbones``: a small RetinaNet, 200 steps on synthetic COCO data.

The backbone here is only an example: the command puts each of its own in its place.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/synthetic_coco.py",
    "../_base_/models/retinanet.py",
    "../_base_/schedules/classifier_tiny.py",
]

max_iters = 200
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True, type="dense3d.ConvNeXt", arch=dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))
    ),
    neck=dict(out_channels=48, num_outs=4),
    bbox_head=dict(
        num_classes=6,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 32, 64]),
    ),
)
train_dataloader = dict(sampler=dict(type="InfiniteSampler", shuffle=True))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=50, end=max_iters, T_max=150, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
