"""Swin transformers with the weights of microsoft/Swin-Transformer, which go into ``checkpoints/``."""

_swin_t = dict(
    type="dense3d.Swin",
    arch="tiny",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_tiny_patch4_window7_224.pth"),
)
_swin_s = dict(
    type="dense3d.Swin",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_small_patch4_window7_224.pth"),
)
_swin_b = dict(
    type="dense3d.Swin",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_base_patch4_window7_224.pth"),
)
_swin_b_22k = dict(
    type="dense3d.Swin",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_base_patch4_window7_224_22k.pth"),
)
_swin_b_22k_384 = dict(
    type="dense3d.Swin",
    arch="base",
    window_size=12,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_base_patch4_window12_384_22k.pth"),
)
_swin_l_22k = dict(
    type="dense3d.Swin",
    arch="large",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_patch4_window7_224_22k.pth"),
)
_swin_l_22k_384 = dict(
    type="dense3d.Swin",
    arch="large",
    window_size=12,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/swin_large_patch4_window12_384_22k.pth"),
)
# No weight decay for norms and position tables.
_swin_undecayed = dict(
    norm_decay_mult=0.0, custom_keys={"relative_position_bias_table": dict(decay_mult=0.0)}
)
