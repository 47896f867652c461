"""HorNets with the weights of raoyongming/HorNet, which go into ``checkpoints/``."""

_hornet_t = dict(
    type="dense3d.HorNet",
    arch="tiny",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_tiny_7x7.pth"),
)
_hornet_t_gf = dict(
    type="dense3d.HorNet",
    arch="tiny_gf",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_tiny_gf.pth"),
)
_hornet_s = dict(
    type="dense3d.HorNet",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_small_7x7.pth"),
)
_hornet_s_gf = dict(
    type="dense3d.HorNet",
    arch="small_gf",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_small_gf.pth"),
)
_hornet_b = dict(
    type="dense3d.HorNet",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_base_7x7.pth"),
)
_hornet_b_gf = dict(
    type="dense3d.HorNet",
    arch="base_gf",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_base_gf.pth"),
)
_hornet_l_22k = dict(
    type="dense3d.HorNet",
    arch="large",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_large_7x7_in22k.pth"),
)
_hornet_l_gf_22k = dict(
    type="dense3d.HorNet",
    arch="large_gf",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/hornet_large_gf_in22k.pth"),
)
