"""Mask R-CNN with ViTDet's simple pyramid on DINOv2-B, 100 epochs of COCO.

There is no official recipe for this pairing: ViTDet's. Weights: ``dense3d convert dinov2``.
"""

_base_ = "./mask-rcnn_vitdet-b_64xb1-100e_coco.py"

model = dict(
    backbone=dict(
        vit=dict(
            arch=dict(_delete_=True, name="dinov2_vitb14_reg"),
            window_padding="mask",
            init_cfg=dict(checkpoint="checkpoints/dinov2_vitb14_reg.pth"),
        )
    )
)
