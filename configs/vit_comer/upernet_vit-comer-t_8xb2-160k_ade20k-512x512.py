"""UPerNet with ViT-CoMer-T from DeiT, 160k iterations of ADE20K: mIoU 43.5 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392). Settings as published. Weights: ``dense3d convert
deit``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512_multiples-of-32.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/vit_comer.py",
]

model = dict(
    backbone=dict(
        **_base_._vit_comer_s, vit=dict(**_base_._deit_t, drop_path_rate=0.1), mrfp_ratio=6.0, stagewise=True
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1.2e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
