"""MonoDINO-DETR with a ViT-B on KITTI: pedestrians, cars and cyclists (arXiv 2502.00315).

ViT and depth head start from the relative-depth release of Depth Anything V2 and stay frozen. Convert it
first: ``dense3d convert depth-anything-v2 IN data/depth-anything-v2_vitb.pth``. Official weights
of the whole model come through ``dense3d convert monodino-detr IN OUT``; they have a fourth class
that is never used (``--cfg-options +model.num_classes=4``).
"""

_base_ = ["../monodetr/monodetr_r50_1xb16-195e_kitti.py"]

depth_anything = "data/depth-anything-v2_vitb.pth"
model = dict(
    type="MonoDINODETR",
    num_levels=3,
    input_size=(518, 518),
    pad_divisor=14,
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="dinov2_vitb14",
        out_indices=(2, 5, 8, 11),
        frozen_stages=12,
        init_cfg=dict(type="Pretrained", checkpoint=depth_anything),
    ),
    depth_head=dict(
        type="DPTHead",
        in_channels="backbone",
        hidden_channels=(96, 192, 384, 768),
        channels=128,
        frozen=True,
        init_cfg=dict(type="Pretrained", checkpoint=depth_anything),
    ),
    neck=dict(
        _delete_=True,
        type="HierarchicalFeatureFusion",
        in_channels="backbone",
        hidden_channels=(192, 384),
        out_channels=256,
    ),
    depth_predictor=dict(source=dict(_delete_=True, type="RelativeDepthSource")),
)
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
