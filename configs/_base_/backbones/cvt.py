"""CvT with the weights of microsoft/CvT, which go into ``checkpoints/``."""

_cvt_13 = dict(
    type="dense3d.CvT",
    arch="13",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/CvT-13-224x224-IN-1k.pth"),
)
_cvt_21 = dict(
    type="dense3d.CvT",
    arch="21",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/CvT-21-224x224-IN-1k.pth"),
)
_cvt_w24 = dict(
    type="dense3d.CvT",
    arch="w24",
    drop_path_rate=0.3,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/CvT-w24-384x384-IN-22k.pth"),
)
_cvt_undecayed = dict(
    norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={"cls_token": dict(decay_mult=0.0)}
)
