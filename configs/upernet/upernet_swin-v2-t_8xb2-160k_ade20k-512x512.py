"""UPerNet with Swin V2-T, 160k iterations of ADE20K.

Liu et al., CVPR 2022 (arXiv 2111.09883). No recipe is published for this size: these are the settings of
Swin-T, without weight decay for what the official code of V2 exempts. Weights:
``swinv2_tiny_patch4_window8_256.pth`` (release of microsoft/Swin-Transformer), put into ``checkpoints/``.
"""

_base_ = "./upernet_swin-t_8xb2-160k_ade20k-512x512.py"

model = dict(
    backbone=dict(
        version=2,
        window_size=8,
        init_cfg=dict(checkpoint="checkpoints/swinv2_tiny_patch4_window8_256.pth"),
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={"cpb_mlp": dict(decay_mult=0.0), "logit_scale": dict(decay_mult=0.0)},
    )
)
