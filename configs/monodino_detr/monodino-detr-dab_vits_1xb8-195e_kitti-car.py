"""MonoDINO-DETR + DAB with a ViT-S on KITTI's cars."""

_base_ = ["./monodino-detr-dab_vitb_1xb8-195e_kitti-car.py"]

depth_anything = "data/depth-anything-v2_vits.pth"
model = dict(
    backbone=dict(arch="dinov2_vits14", init_cfg=dict(checkpoint=depth_anything)),
    depth_head=dict(
        hidden_channels=(48, 96, 192, 384), channels=64, init_cfg=dict(checkpoint=depth_anything)
    ),
    neck=dict(hidden_channels=(96, 192)),
)
