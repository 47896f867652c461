"""UPerNet with ConvNeXt-S, 160k iterations of ADE20K: mIoU 48.7, 49.6 multi-scale officially.

Liu et al., CVPR 2022 (arXiv 2201.03545). Weights: ``convnext_small_1k_224_ema.pth`` (release of
facebookresearch/ConvNeXt), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/convnext.py",
]

model = dict(backbone=dict(**_base_._convnext_s, drop_path_rate=0.3))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise"),
)
