"""MonoDETR with a ResNet-50 on KITTI: pedestrians, cars and cyclists (arXiv 2203.13310).

Batch 16 on one GPU, 195 epochs, learning rate as in the official run; official weights come through
``dense3d convert monodetr IN OUT``. AdamW is torch's, whose weight decay is not scaled by the
bias correction of the step, which the official one does.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/kitti.py"]

classes = ("Pedestrian", "Car", "Cyclist")
model = dict(
    type="MonoDETR",
    class_names=classes,
    num_queries=50,
    num_groups=11,
    num_levels=4,
    data_preprocessor=dict(
        type="ImgDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(
        type="TimmBackbone",
        model_name="resnet50.tv_in1k",
        pretrained=True,
        out_strides=(8, 16, 32),
        frozen_stages=1,
        freeze_norm=True,
    ),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        bias=True,
        num_outs=4,
    ),
    depth_predictor=dict(source=dict(type="PyramidDepthSource"), num_bins=80, depth_min=1e-3, depth_max=60.0),
    test_cfg=dict(max_per_img=50, score_thr=0.2),
)

train_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(1280, 384), flip_prob=0.5, crop_prob=0.5),
    dict(type="mmdet.PhotoMetricDistortion"),
    dict(type="EncodeMonoTargets", classes=classes),
    dict(type="PackKittiFrame"),
]
train_dataloader = dict(batch_size=16, dataset=dict(classes=classes, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader

# The official rule: no weight decay of parameters whose name contains "bias".
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"bias": dict(decay_mult=0.0)}),
)
max_epochs = 195
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[125, 165], gamma=0.1)
]
auto_scale_lr = dict(base_batch_size=16)
randomness = dict(seed=444)
