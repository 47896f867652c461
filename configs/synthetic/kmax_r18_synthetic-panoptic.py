"""kMaX-DeepLab with a ResNet-18 from random weights on synthetic panoptic data: minutes on two CPU cores.

The model of arXiv 2207.04044 made small: a quarter of the channels in the pixel decoder, one decoder layer a
map, 32 queries, the light semantic head. The losses, their weights and the panoptic result are those of the
paper. The pictures are close-ups of one to three things, 64 x 64 pixels: there is time for many of them.
"""

_base_ = ["../_base_/datasets/synthetic_panoptic_close-up.py", "../_base_/runtime.py"]

model = dict(
    type="KMaXDeepLab",
    num_classes=9,
    thing_classes=(0, 1, 2, 3, 4, 5),
    num_queries=32,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32), channels_last=True),
    pixel_decoder=dict(base_channels=(128, 64, 32, 32), num_blocks=(1, 2, 1, 1)),
    layers_per_map=(1, 1, 1),
    drop_path=0.0,
    semantic_head="coarse",
    criterion=dict(discrimination_pixels=512, semantic_pixels=512),
    test_cfg=dict(thing_threshold=0.4, stuff_threshold=0.4),
)

max_epochs = 5
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05, fused=True),
    constructor="NamePartsOptimWrapperConstructor",
    paramwise_cfg=dict(
        custom_keys={
            "norm": dict(decay_mult=0.0),
            "bn": dict(decay_mult=0.0),
            "downsample.1": dict(decay_mult=0.0),
            "bias": dict(decay_mult=0.0),
            "_position": dict(decay_mult=0.0),
            "cluster_centers": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
