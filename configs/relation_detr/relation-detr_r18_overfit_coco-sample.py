"""Overfit 60 real COCO images with a small Relation-DETR, a check of the whole path on real annotations.

Training and evaluation data are the same images. It starts from what the synthetic run has learned, as
far as shapes fit (80 classes in place of 6 start anew): run
``configs/synthetic/relation-detr_r18_synthetic-coco.py`` first. ``DENSE3D_SAMPLE_DATA`` names the folder that
holds ``coco/val2017`` and ``coco/annotations/instances_val2017.json`` (``data/samples`` by default).
"""

_base_ = ["../dino/dino_r18_overfit_coco-sample.py"]

load_from = "work_dirs/relation-detr_r18_synthetic-coco/epoch_5.pth"

model = dict(
    _delete_=True,
    type="RelationDETR",
    num_classes=80,
    num_queries=100,
    embed_dims=128,
    num_levels=4,
    feedforward_channels=512,
    encoder_layers=1,
    decoder_layers=3,
    relation=dict(type="PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0),
    hybrid=dict(num_queries=150, assign=6),
    denoising=dict(num_queries=40),
    criterion=dict(loss_class_weight=3.0),  # 80 classes of few examples each
    positional_encoding=dict(
        type="mmdet.SinePositionalEncoding", num_feats=64, normalize=True, offset=-0.5, eps=1e-6
    ),
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(8, 16, 32), freeze_norm=True),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=4,
    ),
    test_cfg=dict(max_per_img=100),
)

max_epochs = 90
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
