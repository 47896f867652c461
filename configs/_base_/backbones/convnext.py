"""ConvNeXts with the weights of facebookresearch/ConvNeXt, which go into ``checkpoints/``."""

_convnext_t = dict(
    type="dense3d.ConvNeXt",
    arch="tiny",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_tiny_1k_224_ema.pth"),
)
_convnext_s = dict(
    type="dense3d.ConvNeXt",
    arch="small",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_small_1k_224_ema.pth"),
)
_convnext_b = dict(
    type="dense3d.ConvNeXt",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_base_1k_224_ema.pth"),
)
_convnext_b_22k = dict(
    type="dense3d.ConvNeXt",
    arch="base",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_base_22k_224.pth"),
)
_convnext_l_22k = dict(
    type="dense3d.ConvNeXt",
    arch="large",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_large_22k_224.pth"),
)
_convnext_l_22k_384 = dict(
    type="dense3d.ConvNeXt",
    arch="large",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_large_22k_384.pth"),
)
_convnext_xl_22k = dict(
    type="dense3d.ConvNeXt",
    arch="xlarge",
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/convnext_xlarge_22k_224_ema.pth"),
)
