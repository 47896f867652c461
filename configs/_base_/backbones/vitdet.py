"""ViTDet: a simple pyramid on a plain ViT from MAE, converted into ``checkpoints/``."""

_vitdet_b = dict(
    type="dense3d.SimplePyramid",
    vit=dict(
        arch=dict(name="mae_base_patch16", position="learned"),
        window_size=[14, 14, None] * 4,
        window_padding="bias",
        drop_path_rate=0.1,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mae_base_patch16.pth"),
    ),
)
_vitdet_l = dict(
    type="dense3d.SimplePyramid",
    vit=dict(
        arch=dict(name="mae_large_patch16", position="learned"),
        window_size=[14, 14, 14, 14, 14, None] * 4,
        window_padding="bias",
        drop_path_rate=0.4,
        with_cp=True,
        init_cfg=dict(type="Pretrained", checkpoint="checkpoints/mae_large_patch16.pth"),
    ),
)
