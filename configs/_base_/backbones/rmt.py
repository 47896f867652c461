"""RMTs with the weights of qhfan/RMT, which go into ``checkpoints/`` under the names of its table."""

_rmt_t = dict(
    type="dense3d.RMT",
    arch="tiny",
    drop_path_rate=0.1,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/RMT-T.pth"),
)
_rmt_s = dict(
    type="dense3d.RMT",
    arch="small",
    drop_path_rate=0.15,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/RMT-S.pth"),
)
_rmt_b = dict(
    type="dense3d.RMT",
    arch="base",
    drop_path_rate=0.4,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/RMT-B.pth"),
)
_rmt_l = dict(
    type="dense3d.RMT",
    arch="large",
    drop_path_rate=0.5,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/RMT-L.pth"),
)
# No weight decay for what has "norm" in its name: all norms but those of the stem.
_rmt_undecayed = dict(custom_keys={"norm": dict(decay_mult=0.0)})
