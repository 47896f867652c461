"""DINO, 5 scales, ViT-CoMer around a DINOv3 ViT-B, 12 epochs of COCO.

There is no official recipe for this pairing: that of DINOv2. Weights: ``dense3d convert
dinov3``.
"""

_base_ = "./dino_vit-comer-b-dinov2_5scale_8xb2-12e_coco.py"

model = dict(
    backbone=dict(
        vit=dict(_delete_=True, **_base_._dinov3_b, drop_path_rate=0.3, window_size=[14, 14, None] * 4)
    )
)
