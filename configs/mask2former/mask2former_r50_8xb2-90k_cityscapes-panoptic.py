"""Mask2Former with ResNet-50, 90k iterations of Cityscapes panoptic: PQ 62.1 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former-cityscapes IN OUT``.
"""

_base_ = [
    "../_base_/datasets/cityscapes_panoptic.py",
    "../_base_/schedules/mask2former_90k.py",
    "../_base_/models/mask2former.py",
]

model = dict(
    num_classes=19,
    thing_classes=list(range(8)),
    data_preprocessor=dict(
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(512, 1024), pad_mask=True, pad_seg=True)],
    ),
    test_cfg=dict(panoptic_on=True),
)

sync_bn = "torch"  # batch norms learn, over the images of all processes

train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="LoadPanopticAnnotations"),
    dict(
        type="RandomChoiceResize",
        resize_type="mmdet.Resize",
        scales=[(4096, int(102.4 * step)) for step in range(5, 21)],
        keep_ratio=True,
    ),
    dict(
        type="mmdet.RandomCrop",
        crop_size=(1024, 512),  # width, height
        crop_type="absolute",
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type="mmdet.PhotoMetricDistortion"),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
train_dataloader = dict(
    sampler=dict(type="InfiniteSampler", shuffle=True), dataset=dict(pipeline=train_pipeline)
)
