"""A tiny ViT on synthetic images of ten solids: the trained network that IA-RED^2 starts from."""

_base_ = "dense3d::classification/resnet-tiny_synthetic.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch=dict(embed_dim=64, depth=6, num_heads=2, patch_size=8, pretrain_size=64),
    )
)

max_iters = 3000
train_cfg = dict(max_iters=max_iters, val_interval=500)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=200,
        end=max_iters,
        T_max=max_iters - 200,
        eta_min=1e-5,
    ),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(checkpoint=dict(interval=500))
