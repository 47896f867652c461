"""NeRF-RPN with the anchor-free head and a small 3D Swin; batches are padded to their largest grid."""

model = dict(
    type="NerfRPN",
    data_preprocessor=dict(type="GridDataPreprocessor"),
    backbone=dict(type="Swin3D", arch="swin_s", drop_path_rate=0.0),
    neck=dict(type="FPN3D", out_channels=256),
    bbox_head=dict(type="FCOSHead3D", rotated=True),
)
val_evaluator = dict(type="Boxes3DMetric", protocol="nerf-rpn")
test_evaluator = val_evaluator
