"""ViDT+ with a very small Swin from random weights on synthetic COCO data: minutes on two CPU cores.

The ViDT+ of arXiv 2204.07962 made small: a body of 24 channels with windows of 4 x 4 and 12 [DET] tokens, a
decoder of 96 channels and two layers, mask vectors of 64 numbers for masks of 32 x 32. Parts, losses and
their weights are the paper's. The pictures are close-ups of one to three things, 64 x 64 pixels. So small,
they have 2 x 2 patches in the last stage, so that [DET] tokens see those of the stage before as well; few
tokens, since they run through every block.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_coco_close-up.py"]

model = dict(
    type="ViDT",
    num_classes=6,
    embed_dims=96,
    feedforward_channels=256,
    decoder_layers=2,
    dropout=0.0,
    pyramid_fusion=True,
    mask_vectors=dict(num_coefficients=64, side=32),
    iou_aware=True,
    token_label=True,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type="ReconfiguredSwin",
        arch=dict(embed_dim=24, depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8)),
        num_det_tokens=12,
        pos_dim=96,
        window_size=4,
        cross_indices=(2, 3),
        drop_path_rate=0.0,
    ),
    test_cfg=dict(max_per_img=24),
)

# Half a cosine after a short warm-up.
max_epochs = 6
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "backbone.*.bias": dict(decay_mult=0.0),
            "backbone.*norm*.weight": dict(decay_mult=0.0),
            "backbone.det_token": dict(decay_mult=0.0),
            "backbone.det_pos_embed": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
