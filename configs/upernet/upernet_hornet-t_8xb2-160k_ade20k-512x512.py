"""UPerNet with HorNet-T, 160k iterations of ADE20K: mIoU 48.1, 48.9 multi-scale officially.

Rao et al., NeurIPS 2022 (arXiv 2207.14284). Weights: ``hornet_tiny_7x7.pth`` of raoyongming/HorNet, put
into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/hornet.py",
]

model = dict(backbone=dict(**_base_._hornet_t, drop_path_rate=0.4))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise", num_layers=6),
    clip_grad=dict(max_norm=1.0),
)
