"""UPerNet with DINOv3-B, four scales from four blocks, 160k iterations of ADE20K.

There is no official recipe for this pairing: the one of ViT-CoMer-B, with the blocks of the official depth
heads. Weights: ``dense3d convert dinov3``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/vit.py",
]

model = dict(
    backbone=dict(
        type="dense3d.RescaledPyramid",
        vit=dict(**_base_._dinov3_b, final_norm=True, drop_path_rate=0.1),
        blocks=(2, 5, 8, 11),
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.9),
)
