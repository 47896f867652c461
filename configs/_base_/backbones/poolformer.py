"""PoolFormers with the weights of sail-sg/poolformer, which go into ``checkpoints/``."""

_poolformer_s12 = dict(
    type="dense3d.PoolFormer",
    arch="s12",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/poolformer_s12.pth.tar"),
)
_poolformer_s24 = dict(
    type="dense3d.PoolFormer",
    arch="s24",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/poolformer_s24.pth.tar"),
)
_poolformer_s36 = dict(
    type="dense3d.PoolFormer",
    arch="s36",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/poolformer_s36.pth.tar"),
)
