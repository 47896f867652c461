"""Cascade Mask R-CNN with ConvNeXt-T, 36 epochs of COCO: box AP 50.4, mask AP 43.7.

Liu et al., CVPR 2022 (arXiv 2201.03545). Weights: ``convnext_tiny_1k_224_ema.pth`` (release of
facebookresearch/ConvNeXt), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/convnext.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._convnext_t, drop_path_rate=0.4))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7),
)
