"""Mask2Former with ViT-CoMer-B from DINOv2, 50 epochs of COCO instance segmentation.

There is no official recipe for this pairing: Mask2Former's, with layer-wise decay in the ViT.
Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = ["./mask2former_r50_8xb2-50e_coco-instance.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="dense3d.ViTCoMer",
        vit=dict(
            arch=dict(name="dinov2_vitb14", patch_size=16, pretrain_size=592, position_offset=0.0),
            prefix_tokens=False,
            drop_path_rate=0.3,
            init_cfg=dict(type="Pretrained", checkpoint="checkpoints/dinov2_vitb14_14to16.pth"),
        ),
        num_heads=12,
        value_ratio=0.5,
        mrfp_ratio=1.0,
        stagewise=True,
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, decay_rate=0.9),
)
