"""Mask2Former with ResNet-50, 160k iterations of ADE20K instances: AP 26.4 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former IN OUT``.
"""

_base_ = [
    "../_base_/datasets/ade20k_instance_crop-640x640.py",
    "../_base_/schedules/mask2former_160k.py",
    "../_base_/models/mask2former.py",
]

model = dict(
    num_classes=100,
    thing_classes=list(range(100)),
    data_preprocessor=dict(
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(640, 640), pad_mask=True)],
    ),
    backbone=dict(freeze_norm=True),
    test_cfg=dict(panoptic_on=False, instance_on=True, max_per_image=100),
)
