"""ViT-CoMer-T with UPerNet from random weights on synthetic ADE20K data: minutes on two CPU cores.

The backbone (https://arxiv.org/abs/2403.07392) sums its stages as the official one for segmentation. To be
cheap, its pyramids have the width of the one for detection, its stem has half the channels, and one extra
interaction follows the stages instead of four. The factors of what the pyramid gives to the ViT start at 1
instead of 0: no pre-trained ViT has to be spared. The head (https://arxiv.org/abs/1807.10221) has 64
channels. The pictures are close-ups of one to three things, 64 x 64 pixels: there is time for many of them.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_ade20k_close-up.py"]

norm_cfg = dict(type="BN")
# About the inverse square root of each class's share of the pixels; alike, rare things are learnt too late.
class_weight = [2.5, 2.0, 3.5, 4.0, 3.0, 3.5, 1.0, 2.0, 2.0]
model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        seg_pad_val=255,
        size_divisor=32,
    ),
    backbone=dict(
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="deit_tiny_patch16", layer_scale=1.0, pretrain_size=64),
            prefix_tokens=False,
        ),
        stagewise=True,
        stem_width=32,
        extra_interactions=1,
        gamma_init=1.0,
    ),
    decode_head=dict(
        type="UPerHead",
        in_channels="backbone",
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2),
        channels=64,
        dropout_ratio=0.0,
        num_classes=9,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", class_weight=class_weight),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels="backbone",
        in_index=2,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=9,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4, class_weight=class_weight),
    ),
    test_cfg=dict(mode="whole"),
)

# three sizes, each also mirrored: dense3d test --tta, dense3d infer --tta
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="mmseg.Resize", scale=(s, s), keep_ratio=True) for s in (48, 64, 80)],
            [dict(type="mmseg.LoadAnnotations", reduce_zero_label=True)],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]

max_iters = 1000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.99), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
visualizer = dict(type="mmseg.SegLocalVisualizer")
