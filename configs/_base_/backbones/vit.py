"""Plain vision transformers with their weights, converted into ``checkpoints/``; the windows of detectors.

Detectors attend within windows of 14 x 14 in all blocks but every third (ViT-L: every sixth).
"""

_deit_t = dict(
    arch=dict(name="deit_tiny_patch16", layer_scale=1.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_tiny_patch16.pth"),
)
_deit_s = dict(
    arch=dict(name="deit_small_patch16", layer_scale=1.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_small_patch16.pth"),
)
_deit_b = dict(
    arch=dict(name="deit_base_patch16", layer_scale=1.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/deit_base_patch16.pth"),
)
_augreg_l = dict(
    arch=dict(name="augreg_large_patch16", layer_scale=1.0, pretrain_size=384),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/augreg_large_patch16_384.pth"),
)
_dinov2_s = dict(
    arch=dict(name="dinov2_vits14", patch_size=16, pretrain_size=592, position_offset=0.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vits14_14to16.pth"),
)
_dinov2_b = dict(
    arch=dict(name="dinov2_vitb14", patch_size=16, pretrain_size=592, position_offset=0.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vitb14_14to16.pth"),
)
_dinov2_l = dict(
    arch=dict(name="dinov2_vitl14", patch_size=16, pretrain_size=592, position_offset=0.0),
    prefix_tokens=False,
    init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vitl14_14to16.pth"),
)
_dinov3_b = dict(
    arch="dinov3_vitb16", init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov3_vitb16.pth")
)
_windows = dict(window_size=[14, 14, None] * 4, window_padding="zero")
_windows_l = dict(window_size=[14, 14, 14, 14, 14, None] * 4, window_padding="zero")

# The recipes without layer-wise decay of the learning rate: no weight decay for vectors and tables.
_undecayed = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys={"pos_embed": dict(decay_mult=0.0), "level_embed": dict(decay_mult=0.0)},
)
