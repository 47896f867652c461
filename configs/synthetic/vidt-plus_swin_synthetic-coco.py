"""ViDT+ with a very small Swin from random weights on synthetic COCO data: minutes on two CPU cores.

The ViDT+ of arXiv 2204.07962 made small: a body of 32 channels, 50 [DET] tokens, decoder of 128 channels and
three layers, mask vectors of 64 numbers for masks of 32 x 32. Data, schedule and learning rate are those of
``dino_r18_synthetic-coco.py``.
"""

_base_ = ["./dino_r18_synthetic-coco.py"]

model = dict(
    _delete_=True,
    type="ViDT",
    num_classes=6,
    embed_dims=128,
    feedforward_channels=512,
    decoder_layers=3,
    dropout=0.0,
    pyramid_fusion=True,
    mask_vectors=dict(num_coefficients=64, side=32),
    iou_aware=True,
    token_label=True,
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type="ReconfiguredSwin",
        arch=dict(embed_dim=32, depths=(1, 1, 2, 2), num_heads=(1, 2, 4, 8)),
        num_det_tokens=50,
        pos_dim=128,
        window_size=5,
        drop_path_rate=0.0,
    ),
    test_cfg=dict(max_per_img=50),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = dict(metric=["bbox", "segm"])
