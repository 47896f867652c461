"""CrossFormers with the weights of cheerss/CrossFormer, which go into ``checkpoints/`` by these names."""

_crossformer_s = dict(
    type="dense3d.CrossFormer",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/crossformer-s.pth"),
)
_crossformer_b = dict(
    type="dense3d.CrossFormer",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/crossformer-b.pth"),
)
_crossformer_pp_s = dict(
    type="dense3d.CrossFormer",
    arch="pp_small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/crossformer-pp-s.pth"),
)
# Dense models of CrossFormer++ have the groups of CrossFormer.
_dense_groups = dict(group_size=7, interval=(8, 4, 2, 1))
# No weight decay for norms.
_crossformer_undecayed = dict(norm_decay_mult=0.0)
