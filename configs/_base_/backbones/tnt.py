"""TNT and PyramidTNT with the weights of huawei-noah/Efficient-AI-Backbones, which go into ``checkpoints/``.

Those of PyramidTNT come from a cloud disk, and go there under this name.
"""

_tnt_s = dict(
    type="dense3d.TNT",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/tnt_s_81.5.pth.tar"),
)
_pyramid_tnt_s = dict(
    type="dense3d.PyramidTNT",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/pyramid_tnt_s.pth"),
)
_tnt_undecayed = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys={name: dict(decay_mult=0.0) for name in ("outer_pos", "inner_pos", "word_pos", "pos_embed")},
)
