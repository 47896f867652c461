"""Plain DETR with a ResNet-18 from random weights on synthetic COCO data, on two CPU cores.

The DETR of https://arxiv.org/abs/2005.12872 made small: maps of stride 16, 128 channels, 2 encoder and
3 decoder layers, 20 queries, images of 160 x 128. Set prediction without denoising or multi-scale features
starts slowly (the paper trains 500 epochs), so these minutes show the recipe, not its accuracy.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_coco.py"]

attention = dict(embed_dims=128, num_heads=8, dropout=0.0, batch_first=True)
feed_forward = dict(embed_dims=128, feedforward_channels=512, num_fcs=2, ffn_drop=0.0)
model = dict(
    type="mmdet.DETR",
    num_queries=20,
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(type="dense3d.TimmBackbone", model_name="resnet18", out_strides=(16,)),
    neck=dict(
        type="ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=None,
        num_outs=1,
    ),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feed_forward)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feed_forward),
        return_intermediate=True,
    ),
    positional_encoding=dict(num_feats=64, normalize=True),
    bbox_head=dict(
        type="DETRHead",
        num_classes=6,
        embed_dims=128,
        loss_cls=dict(
            type="CrossEntropyLoss", bg_cls_weight=0.1, use_sigmoid=False, loss_weight=1.0, class_weight=1.0
        ),
        loss_bbox=dict(type="L1Loss", loss_weight=5.0),
        loss_iou=dict(type="GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="HungarianAssigner",
            match_costs=[
                dict(type="ClassificationCost", weight=1.0),
                dict(type="BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=20),
)

max_epochs = 16
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
