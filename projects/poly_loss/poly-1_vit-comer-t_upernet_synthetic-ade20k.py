"""Poly-1 in place of cross-entropy in both heads of the small ViT-CoMer, 150 iterations.

``model.decode_head.loss_decode.epsilon=0`` and the same of ``auxiliary_head`` is the baseline.
"""

_base_ = "dense3d::synthetic/vit-comer-t_upernet_synthetic-ade20k.py"

class_weight = [2.5, 2.0, 3.5, 4.0, 3.0, 3.5, 1.0, 2.0, 2.0]
loss = dict(_delete_=True, type="dense3d.PolyLoss", epsilon=1.0, class_weight=class_weight)
model = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss_weight=0.4, **loss)),
)

max_iters = 150
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
