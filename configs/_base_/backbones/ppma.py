"""PPMAs with the weights of zhongchenzhao/PPMA, which go into ``checkpoints/`` with their folders."""

_ppma_t = dict(
    type="dense3d.PPMA",
    arch="tiny",
    drop_path_rate=0.1,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/PPMA_T_202502251000/best.pth"),
)
_ppma_s = dict(
    type="dense3d.PPMA",
    arch="small",
    drop_path_rate=0.15,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/PPMA_S_202504021000/best.pth"),
)
_ppma_b = dict(
    type="dense3d.PPMA",
    arch="base",
    drop_path_rate=0.4,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/PPMA_B_202504101400/best.pth"),
)
# No weight decay for what has "norm" in its name: all norms but those of the stem.
_ppma_undecayed = dict(custom_keys={"norm": dict(decay_mult=0.0)})
