"""UPerNet with ViT-CoMer-T from DeiT, 160k iterations of ADE20K: mIoU 43.5 in the paper.

Xia et al., CVPR 2024 (arXiv 2403.07392). Settings as published. Weights: ``dense3d convert
deit``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512_multiples-of-32.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="deit_tiny_patch16", layer_scale=1.0),
            prefix_tokens=False,
            drop_path_rate=0.1,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_tiny_patch16.pth"),
        ),
        num_heads=6,
        value_ratio=1.0,
        mrfp_ratio=6.0,
        stagewise=True,
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=1.2e-4),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
