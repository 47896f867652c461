"""MAE pre-training of ViT-B/16 as published: 4096 images a step, 1600 epochs.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, table 8 and the official code's
README: learning rate 1.5e-4 for 256 images, hence 2.4e-3, 40 epochs of warm-up, a half cosine. With another
number of images a step, set ``optim_wrapper.optimizer.lr`` to 1.5e-4 * images / 256.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/images_224.py"]

model = dict(
    type="MaskedAutoencoder",
    data_preprocessor=dict(
        type="ImgDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    encoder=dict(arch="mae_base_patch16"),
    decoder=dict(dim=512, depth=8, num_heads=16),
    mask_ratio=0.75,
    norm_pix_loss=True,
)

max_epochs, warmup_epochs = 1600, 40
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=40)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=2.4e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    # the official code leaves vectors and biases out of weight decay, but not the tokens
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type="LinearLR", start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR", by_epoch=True, begin=warmup_epochs, end=max_epochs,
        T_max=max_epochs - warmup_epochs, eta_min=0.0, convert_to_iter_based=True,
    ),
]  # fmt: skip
default_hooks = dict(checkpoint=dict(interval=20))
