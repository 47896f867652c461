"""Mask2Former (semantic) with Swin-B (ImageNet-22k), 160k iterations of ADE20K: mIoU 53.9 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Weights: ``swin_base_patch4_window12_384_22k.pth``, put into
``checkpoints/``. Official weights of the whole: ``dense3d convert mask2former-semantic IN OUT``.
"""

_base_ = [
    "../_base_/models/mask2former_semantic.py",
    "../_base_/datasets/ade20k_640.py",
    "../_base_/schedules/mask2former_160k.py",
    "../_base_/backbones/swin.py",
]

crop_size = (640, 640)  # height, width
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(
        type="RandomChoiceResize",
        scales=[int(x * 0.1 * 640) for x in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=2560,
    ),
    dict(type="RandomCrop", crop_size=crop_size),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(**_base_._swin_b_22k_384, drop_path_rate=0.3),
)

default_hooks = dict(checkpoint=dict(save_best="mIoU"))
visualizer = dict(type="mmseg.SegLocalVisualizer")
