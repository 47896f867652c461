"""Mask2Former with a ResNet-18 from random weights on synthetic panoptic data: minutes on two CPU cores.

The model of arXiv 2112.01527 made small: half of the channels, two encoder and three decoder layers, 20
queries, 512 points a mask. The losses, their weights and the panoptic result are those of the paper. The
pictures are close-ups of one to three things, 64 x 64 pixels: there is time for many of them.
"""

_base_ = ["../_base_/datasets/synthetic_panoptic_close-up.py", "../_base_/runtime.py"]

model = dict(
    type="Mask2Former",
    num_classes=9,
    thing_classes=(0, 1, 2, 3, 4, 5),
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32), channels_last=True),
    head=dict(
        num_queries=20,
        embed_dims=128,
        encoder_layers=2,
        encoder_channels=512,
        decoder_layers=3,
        decoder_channels=512,
    ),
    criterion=dict(num_points=512),
    test_cfg=dict(score_threshold=0.5),
)

max_epochs = 6
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
    constructor="NamePartsOptimWrapperConstructor",
    paramwise_cfg=dict(
        custom_keys={
            "norm": dict(decay_mult=0.0),
            "bn": dict(decay_mult=0.0),
            "downsample.1": dict(decay_mult=0.0),
            ".gn.": dict(decay_mult=0.0),
            "query_embed": dict(decay_mult=0.0),
            "query_feat": dict(decay_mult=0.0),
            "level_embed": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
