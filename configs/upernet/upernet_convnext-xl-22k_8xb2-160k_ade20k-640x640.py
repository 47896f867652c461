"""UPerNet with ConvNeXt-XL from ImageNet-22k, 160k iterations of ADE20K: mIoU 53.6, 54.0 multi-scale.

Liu et al., CVPR 2022 (arXiv 2201.03545). Weights: ``convnext_xlarge_22k_224_ema.pth`` (release of
facebookresearch/ConvNeXt), put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet_640.py",
    "../_base_/datasets/ade20k_640.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(
        type="dense3d.ConvNeXt",
        arch="xlarge",
        drop_path_rate=0.4,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_xlarge_22k_224_ema.pth"),
    )
)
optim_wrapper = dict(
    optimizer=dict(lr=8e-5, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.9, decay_type="stage_wise"),
)
