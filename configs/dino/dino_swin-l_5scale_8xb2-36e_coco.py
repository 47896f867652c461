"""DINO, 5 scales, Swin-L pre-trained on ImageNet-22k at 384 pixels, 36 epochs of COCO.

The recipe of DINO (arXiv 2203.03605) with the backbone of microsoft/Swin-Transformer, whose weights
``swin_large_patch4_window12_384_22k.pth`` go into ``checkpoints/``.
"""

_base_ = ["./dino_r50_8xb2-36e_coco.py", "../_base_/backbones/swin.py"]

num_levels = 5
model = dict(
    num_feature_levels=num_levels,
    backbone=dict(_delete_=True, **_base_._swin_l_22k_384, drop_path_rate=0.2, with_cp=True),
    neck=dict(num_outs=num_levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
)
