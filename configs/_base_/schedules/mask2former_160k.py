"""Mask2Former's schedule on ADE20K: 160 000 iterations of 16 images, polynomial decay."""

_base_ = "./mask2former_50e.py"

max_iters = 160_000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=max_iters)]
