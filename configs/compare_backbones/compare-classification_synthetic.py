"""Budget of classification for ``dense3d compare-backbones``: 300 steps on synthetic images of ten solids.

The backbone here is only an example: the command puts each of its own in its place.
"""

_base_ = "../classification/resnet-tiny_synthetic.py"

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=50, end=max_iters, T_max=250, eta_min=1e-5),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=50, max_keep_ckpts=1))
