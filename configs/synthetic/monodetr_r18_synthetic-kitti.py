"""MonoDETR with a ResNet-18 from random weights on synthetic streets: minutes on two CPU cores.

The MonoDETR of https://arxiv.org/abs/2203.13310 made small: 128 channels, one encoder and two decoder layers,
25 queries in 5 groups, frames scaled to a third of KITTI's size. Queries are anchors.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_kitti.py"]

model = dict(
    type="MonoDETR",
    class_names=("Pedestrian", "Car", "Cyclist"),
    num_queries=25,
    num_groups=5,
    anchors=True,
    embed_dims=128,
    num_levels=3,
    feedforward_channels=256,
    encoder_layers=1,
    decoder_layers=2,
    dropout=0.0,
    data_preprocessor=dict(
        type="ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(8, 16, 32)),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        bias=True,
        num_outs=3,
    ),
    depth_predictor=dict(source=dict(type="PyramidDepthSource"), dropout=0.0),
    test_cfg=dict(max_per_img=25, score_thr=0.05),
)

# Two thirds of the frames' own size: a backbone from random weights needs iterations more than pixels.
image_size = (416, 128)
train_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size, flip_prob=0.5, crop_prob=0.5),
    dict(type="EncodeMonoTargets"),
    dict(type="PackKittiFrame"),
]
test_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size),
    dict(type="PackKittiFrame"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# 150 iterations an epoch: the learning rate falls along a cosine after a short warm-up.
max_epochs = 12
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    constructor="NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0),
    paramwise_cfg=dict(custom_keys={"bias": dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
