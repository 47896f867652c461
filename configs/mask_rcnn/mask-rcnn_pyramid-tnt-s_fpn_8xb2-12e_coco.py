"""Mask R-CNN with PyramidTNT-S, 12 epochs of COCO: box AP 43.4 in the paper.

Han et al., 2022 (arXiv 2201.00978). The authors' code for this is not public; the schedule is the usual one
of 12 epochs with AdamW. The maps have strides of 8 to 64, one more is pooled: anchors begin at 32 pixels as
usual, and regions come from the map of their usual stride, the smallest from that of 8. Weights: those of
PyramidTNT-S of huawei-noah/Efficient-AI-Backbones, put into ``checkpoints/`` as ``pyramid_tnt_s.pth``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/mask_rcnn.py",
    "../_base_/datasets/coco_instance_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/tnt.py",
]

_regions = dict(featmap_strides=[8, 16, 32, 64], finest_scale=112)
model = dict(
    backbone=dict(_delete_=True, **_base_._pyramid_tnt_s, drop_path_rate=0.1),
    rpn_head=dict(anchor_generator=dict(scales=[4], strides=[8, 16, 32, 64, 128])),
    roi_head=dict(bbox_roi_extractor=_regions, mask_roi_extractor=_regions),
)
optim_wrapper = dict(paramwise_cfg=_base_._tnt_undecayed)
