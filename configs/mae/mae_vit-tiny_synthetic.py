"""MAE pre-training of a small ViT on synthetic images without their labels: minutes on a CPU core.

Four blocks of 192 channels, patches of 8 pixels, crops of 96 x 96. What it learns is where
``mae-vit-tiny_fcn_synthetic-ade20k-5percent.py`` starts.
"""

_base_ = ["../_base_/runtime.py"]

data_root = "data/synthetic/ade20k_160x128/"
synthetic_data = dict(root=data_root, layouts=("ade20k",), train=2000, val=200, size=(160, 128), seed=0)

model = dict(
    type="MaskedAutoencoder",
    data_preprocessor=dict(
        type="ImgDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    encoder=dict(
        arch=dict(embed_dim=192, depth=4, num_heads=3, patch_size=8, pretrain_size=128, position="sincos")
    ),
    decoder=dict(dim=96, depth=1, num_heads=3),
    mask_ratio=0.75,
    norm_pix_loss=True,
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="RandomResizedCrop", size=(96, 96), area=(0.2, 1.0)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackImage"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizedCentre", size=(128, 128), margin=1.0),
    dict(type="PackImage"),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="ImageFolder", data_root=data_root + "images/training", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ImageFolder", data_root=data_root + "images/validation", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

max_iters = 500
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=0.0),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
log_processor = dict(by_epoch=False)
