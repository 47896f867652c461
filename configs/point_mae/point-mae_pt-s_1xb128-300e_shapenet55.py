"""Point-MAE pre-training on ShapeNet-55 as published: 128 clouds a step, 300 epochs, six tenths hidden.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022, and the official
code's settings: learning rate 1e-3, no gradient clipping.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/point_mae.py",
    "../_base_/datasets/shapenet55.py",
    "../_base_/schedules/point_mae_300e.py",
]

train_cfg = dict(val_interval=25)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=None)
default_hooks = dict(checkpoint=dict(interval=5))
