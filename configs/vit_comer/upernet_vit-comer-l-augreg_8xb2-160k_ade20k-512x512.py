"""UPerNet with ViT-CoMer-L from AugReg (ImageNet-22k, 384 pixels), 160k iterations of ADE20K.

Xia et al., CVPR 2024 (arXiv 2403.07392). The repository has no settings for this size: optimiser, drop path
and images as in ViT-Adapter-L, pyramids as wide as in B. Weights: ``dense3d convert augreg``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512_multiples-of-32.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/vit_comer.py",
]

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        **_base_._vit_comer_l,
        vit=dict(**_base_._augreg_l, drop_path_rate=0.4, with_cp=True),
        mrfp_ratio=1.0,
        stagewise=True,
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-5, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
