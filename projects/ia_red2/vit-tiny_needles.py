"""A tiny ViT that names the colour of a spot in grey noise: the trained network that IA-RED^2 starts from."""

_base_ = "dense3d::classification/resnet-tiny_synthetic.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch=dict(embed_dim=48, depth=6, num_heads=2, patch_size=8, pretrain_size=48),
    )
)

synthetic_data = None
classes = None
pipeline = [dict(type="PackImage")]
train_dataloader = dict(dataset=dict(_delete_=True, type="Needles", count=4000, pipeline=pipeline))
val_dataloader = dict(dataset=dict(_delete_=True, type="Needles", count=400, first=100000, pipeline=pipeline))
test_dataloader = val_dataloader

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=150)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type="CosineAnnealingLR", by_epoch=False, begin=30, end=max_iters, T_max=max_iters - 30, eta_min=1e-5
    ),
]
default_hooks = dict(checkpoint=dict(interval=150))
