"""Plain DETR with a small ResNet-18 from random weights on synthetic COCO data, on two CPU cores.

The DETR of https://arxiv.org/abs/2005.12872 made small. From random weights it stays for thousands of
iterations on a plateau on which the decoder ignores the image. ``PreNormDETR`` starts elsewhere: norms before
the blocks, positions at the input, and queries on a grid that look at their own part of the image; matching
prefers the query that starts at the box (``QueryCellCost``), which the paper does not have. Seen with seed 0:
AP50 0.221, 0.477 and 0.533 after 3, 6 and 9 epochs; 60 fixed boxes have 0.001 on the same images.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/synthetic_coco.py"]

# Many small images instead of few larger ones: four boxes an image are all the supervision that there is.
data_root = "data/synthetic/coco_128x96/"
size = (128, 96)
synthetic_data = dict(root=data_root, layouts=("coco",), train=6000, val=300, size=size, seed=0)
train_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root))
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=size, keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
val_dataloader = dict(batch_size=50, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")

attention = dict(embed_dims=128, num_heads=8, dropout=0.0, batch_first=True)
feed_forward = dict(embed_dims=128, feedforward_channels=512, num_fcs=2, ffn_drop=0.0)
query_grid = (5, 4)
model = dict(
    type="PreNormDETR",
    num_queries=query_grid[0] * query_grid[1],
    query_grid=query_grid,
    position_amplitude=2.0,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    # Half of ResNet-18's channels and no stage beyond the map in use: more images in the same time.
    backbone=dict(
        type="TimmBackbone",
        model_name="resnet18",
        out_strides=(16,),
        channels_last=True,
        model_kwargs=dict(channels=(32, 64, 128, 256), out_indices=(3,)),
    ),
    # Without a norm the cells of an untrained backbone differ little from each other and from image to image.
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels="backbone",
        kernel_size=1,
        out_channels=128,
        act_cfg=None,
        norm_cfg=dict(type="BN"),
        num_outs=1,
    ),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=feed_forward)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=feed_forward),
        return_intermediate=True,
    ),
    # Short waves, or neighbouring cells of so coarse a map have nearly the same encoding; 4 pi = two turns.
    positional_encoding=dict(num_feats=64, normalize=True, temperature=20, scale=12.566, offset=-0.5),
    bbox_head=dict(
        type="BatchedDETRHead",
        num_classes=6,
        embed_dims=128,
        # Three times DETR's weight: most of what the backbone has to learn, it learns from the classes.
        loss_cls=dict(
            type="mmdet.CrossEntropyLoss",
            bg_cls_weight=0.1,
            use_sigmoid=False,
            loss_weight=3.0,
            class_weight=1.0,
        ),
        loss_bbox=dict(type="mmdet.L1Loss", loss_weight=5.0),
        loss_iou=dict(type="mmdet.GIoULoss", loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.ClassificationCost", weight=1.0),
                dict(type="mmdet.BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="mmdet.IoUCost", iou_mode="giou", weight=2.0),
                # All queries predict the same box at first: this prefers the one that looks at the target.
                dict(type="dense3d.QueryCellCost", query_grid=query_grid, weight=5.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=query_grid[0] * query_grid[1]),
)

max_epochs = 9
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=3)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
