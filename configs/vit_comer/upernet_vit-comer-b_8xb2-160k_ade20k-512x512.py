"""UPerNet with ViT-CoMer-B from DeiT, 160k iterations of ADE20K: mIoU 48.8 in the paper.

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
        **_base_._vit_comer_b, vit=dict(**_base_._deit_b, drop_path_rate=0.3), mrfp_ratio=1.0, stagewise=True
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
