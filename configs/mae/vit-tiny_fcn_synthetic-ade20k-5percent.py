"""Segmentation with 100 of the 2000 labelled synthetic images, from random weights.

The baseline of ``mae-vit-tiny_fcn_synthetic-ade20k-5percent.py``: network, schedule and data are the same.
In both the table of positions stays MAE's of sines and cosines, which published fine-tuning trains
(``position="learned"``): the figures in docs/mae.md were taken so.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_ade20k.py"]

model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size_divisor=8,
    ),
    backbone=dict(
        type="dense3d.VisionTransformer",
        arch=dict(embed_dim=192, depth=4, num_heads=3, patch_size=8, pretrain_size=128, position="sincos"),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels="backbone",
        in_index=0,
        channels=128,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=9,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", class_weight=[4.0] * 6 + [1.0] * 3),
    ),
    test_cfg=dict(mode="whole"),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.RandomCrop", crop_size=(96, 96)),
    dict(type="mmseg.RandomFlip", prob=0.5),
    dict(type="mmseg.PackSegInputs"),
]
train_dataloader = dict(dataset=dict(indices=100, pipeline=train_pipeline))

max_iters = 200
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=100)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
visualizer = dict(type="mmseg.SegLocalVisualizer")
