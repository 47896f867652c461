"""Mask2Former (semantic) with Swin-B from ImageNet-22k, 160k iterations of ADE20K: mIoU 53.9 in the paper.

Cheng et al., CVPR 2022 (arXiv 2112.01527), the recipe of mmseg's config. Weights:
``swin_base_patch4_window12_384_22k.pth``, put into ``checkpoints/``.
"""

_base_ = "mmseg::mask2former/mask2former_swin-b-in22k-384x384-pre_8xb2-160k_ade20k-640x640.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.Swin",
        arch="base",
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_base_patch4_window12_384_22k.pth"),
    ),
    decode_head=dict(in_channels="backbone"),
)
# Several rules may hold for one parameter.
optim_wrapper = dict(
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "norm": dict(decay_mult=0.0),
            "relative_position_bias_table": dict(decay_mult=0.0),
            "query_embed": dict(decay_mult=0.0),
            "query_feat": dict(decay_mult=0.0),
            "level_embed": dict(decay_mult=0.0),
        },
    ),
)
