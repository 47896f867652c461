"""UniFormers with the weights of Sense-X/UniFormer, which go into ``checkpoints/``."""

_uniformer_s = dict(
    type="dense3d.UniFormer",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/uniformer_small_in1k.pth"),
)
_uniformer_b = dict(
    type="dense3d.UniFormer",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/uniformer_base_in1k.pth"),
)
# No weight decay for norms.
_uniformer_undecayed = dict(norm_decay_mult=0.0)
