"""UPerNet with BEiT-L (ImageNet-22k), 160k iterations of ADE20K: mIoU 56.7, 57.0 multi-scale officially.

Bao et al., ICLR 2022 (arXiv 2106.08254). Weights: ``beit_large_patch16_224_pt22k_ft22k.pth`` (release of
microsoft/unilm) through ``dense3d convert beit``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet_640.py",
    "../_base_/datasets/ade20k_640_no-smaller-views.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(
        type="dense3d.RescaledPyramid",
        vit=dict(
            arch=dict(name="beit_large_patch16", pretrain_size=640),
            drop_path_rate=0.2,
            with_cp=True,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/beit_large_patch16.pth"),
        ),
        blocks=(7, 11, 15, 23),
        norm="batch",
    ),
    decode_head=dict(channels=1024),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-5, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.95),
)
