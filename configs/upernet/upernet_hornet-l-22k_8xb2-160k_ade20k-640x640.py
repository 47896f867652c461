"""UPerNet with HorNet-L from ImageNet-22k, 160k iterations of ADE20K: mIoU 54.1, 54.5 multi-scale.

Rao et al., NeurIPS 2022 (arXiv 2207.14284). Weights: ``hornet_large_7x7_in22k.pth`` of raoyongming/HorNet,
put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet_640.py",
    "../_base_/datasets/ade20k_640.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/hornet.py",
]

model = dict(backbone=dict(**_base_._hornet_l_22k, drop_path_rate=0.4))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.8, decay_type="stage_wise", num_layers=12),
    clip_grad=dict(max_norm=0.1),
)
