"""Cascade Mask R-CNN with HorNet-L (GF) from ImageNet-22k, 36 epochs of COCO: box AP 56.0, mask AP 48.6.

Rao et al., NeurIPS 2022 (arXiv 2207.14284). Weights: ``hornet_large_gf_in22k.pth`` of raoyongming/HorNet,
put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/cascade_mask_rcnn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/adamw_36e.py",
    "../_base_/backbones/hornet.py",
]

model = dict(
    backbone=dict(_delete_=True, **dict(_base_._hornet_l_gf_22k, arch="large_gf384"), drop_path_rate=0.7)
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.7),
)
