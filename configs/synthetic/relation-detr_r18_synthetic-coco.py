"""Relation-DETR with a ResNet-18 from random weights on synthetic COCO data: minutes on two CPU cores.

The Relation-DETR of https://arxiv.org/abs/2407.11699 made as small as ``dino_r18_synthetic-coco.py``, with
the same data, schedule, learning rate and detections; the decoder has a third layer, as the relation acts
from the second on. 75 hybrid queries to 50 matching ones, as 1500 to 900 in the paper.
"""

_base_ = ["./dino_r18_synthetic-coco.py"]

model = dict(
    _delete_=True,
    type="RelationDETR",
    num_classes=6,
    num_queries=50,
    embed_dims=128,
    num_levels=4,
    feedforward_channels=512,
    encoder_layers=1,
    decoder_layers=3,
    relation=dict(type="PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0),
    hybrid=dict(num_queries=75, assign=6),
    denoising=dict(num_queries=20, label_noise=0.5, box_noise=1.0),
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
    backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(8, 16, 32)),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=32),
        num_outs=4,
    ),
    test_cfg=dict(max_per_img=50),
)
