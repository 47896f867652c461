"""UPerNet with ViT-CoMer-B from DeiT, 160k iterations of ADE20K: mIoU 48.8 in the paper.

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
            arch=dict(name="deit_base_patch16", layer_scale=1.0),
            prefix_tokens=False,
            drop_path_rate=0.3,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_base_patch16.pth"),
        ),
        num_heads=12,
        value_ratio=0.5,
        mrfp_ratio=1.0,
        stagewise=True,
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
