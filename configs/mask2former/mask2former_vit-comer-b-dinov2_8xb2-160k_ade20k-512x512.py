"""Mask2Former (semantic) with ViT-CoMer-B from DINOv2, 160k iterations of ADE20K.

There is no official recipe for this pairing: Mask2Former's, with layer-wise decay in the ViT.
Weights: ``dense3d convert dinov2-14to16``.
"""

_base_ = ["./mask2former_r50_8xb2-160k_ade20k-512x512.py", "../_base_/backbones/vit_comer.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_._vit_comer_b,
        vit=dict(**_base_._dinov2_b, drop_path_rate=0.3),
        mrfp_ratio=1.0,
        stagewise=True,
    ),
)
optim_wrapper = dict(
    constructor="dense3d.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(_delete_=True, decay_rate=0.9),
)
