"""UPerNet on a ViT-B that MAE pre-trained, 160k iterations of ADE20K: mIoU 48.1 in the paper.

He et al., CVPR 2022, appendix A.4, with BEiT's pyramid. The paper also adds relative position biases that
start at zero; this network does without. Weights: a checkpoint of ``mae_vit-b_64xb64-1600e_imagenet.py``, or
the official one after ``dense3d convert mae``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_160k.py",
]

model = dict(
    backbone=dict(
        type="dense3d.RescaledPyramid",
        vit=dict(
            arch=dict(name="mae_base_patch16", position="learned"),  # fine-tuning trains the table
            drop_path_rate=0.1,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mae_vit-b.pth"),
        ),
        blocks=(3, 5, 7, 11),
        norm="batch",
    ),
    decode_head=dict(channels=768),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(decay_rate=0.65),
)
