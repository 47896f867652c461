"""DINO, 5 scales, Swin-L pre-trained on ImageNet-22k at 384 pixels, 36 epochs of COCO.

The recipe of DINO (arXiv 2203.03605) with the backbone of microsoft/Swin-Transformer, whose weights
``swin_large_patch4_window12_384_22k.pth`` go into ``checkpoints/``.
"""

_base_ = "./dino_r50_8xb2-36e_coco.py"

num_levels = 5
model = dict(
    num_feature_levels=num_levels,
    backbone=dict(
        _delete_=True,
        type="dense3d.Swin",
        arch="large",
        window_size=12,
        drop_path_rate=0.2,
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_patch4_window12_384_22k.pth"),
    ),
    neck=dict(num_outs=num_levels),
    encoder=dict(layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels))),
)
