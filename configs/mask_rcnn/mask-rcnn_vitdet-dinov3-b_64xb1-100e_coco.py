"""Mask R-CNN with ViTDet's simple pyramid on DINOv3-B, 100 epochs of COCO.

There is no official recipe for this pairing: ViTDet's. Weights: ``dense3d convert dinov3``.
"""

_base_ = "./mask-rcnn_vitdet-b_64xb1-100e_coco.py"

model = dict(
    backbone=dict(
        vit=dict(
            arch=dict(_delete_=True, name="dinov3_vitb16"),
            window_padding="mask",
            init_cfg=dict(checkpoint="checkpoints/dinov3_vitb16.pth"),
        )
    )
)
