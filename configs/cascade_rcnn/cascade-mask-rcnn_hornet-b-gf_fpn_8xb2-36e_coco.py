"""Cascade Mask R-CNN with HorNet-B (GF), 36 epochs of COCO: box AP 54.0, mask AP 46.9.

Rao et al., NeurIPS 2022 (arXiv 2207.14284). Weights: ``hornet_base_gf.pth`` of raoyongming/HorNet, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/hornet.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._hornet_b_gf, drop_path_rate=0.7))
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7),
)
