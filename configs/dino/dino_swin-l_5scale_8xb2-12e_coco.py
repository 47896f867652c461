"""DINO, 5 scales, Swin-L pre-trained on ImageNet-22k at 384 pixels, 12 epochs of COCO."""

_base_ = "./dino_r50_8xb2-12e_coco.py"

num_levels = 5
model = dict(
    num_feature_levels=num_levels,
    backbone=dict(
        model_name="swin_large_patch4_window12_384.ms_in22k",
        out_strides=(4, 8, 16, 32),
        frozen_stages=-1,
        freeze_norm=False,
        with_cp=True,
        model_kwargs=dict(drop_path_rate=0.2),
    ),
    neck=dict(num_outs=num_levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
)
