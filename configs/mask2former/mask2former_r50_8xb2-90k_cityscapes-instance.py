"""Mask2Former with ResNet-50, 90k iterations of Cityscapes instances: AP 37.4 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527). Official weights:
``dense3d convert mask2former IN OUT``.
"""

_base_ = [
    "../_base_/datasets/cityscapes_instance_crop-512x1024.py",
    "../_base_/schedules/mask2former_90k.py",
    "../_base_/models/mask2former.py",
]

model = dict(
    num_classes=8,
    thing_classes=list(range(8)),
    data_preprocessor=dict(
        batch_augments=[dict(type="mmdet.BatchFixedSizePad", size=(512, 1024), pad_mask=True)],
    ),
    test_cfg=dict(panoptic_on=False, instance_on=True, max_per_image=100),
)

sync_bn = "torch"  # batch norms learn, over the images of all processes
