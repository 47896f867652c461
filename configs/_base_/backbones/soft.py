"""SOFT-Norm with the weights of fudan-zvg/SOFT, which go into ``checkpoints/`` under these names."""

_soft_norm_t = dict(
    type="dense3d.SOFT",
    arch="tiny",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/soft_norm_tiny.pth"),
)
_soft_norm_s = dict(
    type="dense3d.SOFT",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/soft_norm_small.pth"),
)
_soft_norm_m = dict(
    type="dense3d.SOFT",
    arch="medium",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/soft_norm_medium.pth"),
)
_soft_norm_l = dict(
    type="dense3d.SOFT",
    arch="large",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/soft_norm_large.pth"),
)
_soft_undecayed = dict(
    norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={"cls_token": dict(decay_mult=0.0)}
)
