"""Cascade Mask R-CNN with HorNet-T, 36 epochs of COCO: box AP 51.7, mask AP 44.8.

Rao et al., NeurIPS 2022 (arXiv 2207.14284). Weights: ``hornet_tiny_7x7.pth`` of raoyongming/HorNet, put
into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/hornet.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._hornet_t, drop_path_rate=0.4))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7),
)
