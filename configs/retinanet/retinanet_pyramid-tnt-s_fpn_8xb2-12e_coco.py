"""RetinaNet with PyramidTNT-S, 12 epochs of COCO: box AP 42.0 in the paper.

Han et al., 2022 (arXiv 2201.00978). The authors' code for this is not public; the schedule is the usual one
of 12 epochs with AdamW. The maps have strides of 8 to 64, and one more is made of the last. Weights: those of
PyramidTNT-S of huawei-noah/Efficient-AI-Backbones, put into ``checkpoints/`` as ``pyramid_tnt_s.pth``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/tnt.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_._pyramid_tnt_s, drop_path_rate=0.1),
    neck=dict(start_level=0),
)
optim_wrapper = dict(paramwise_cfg=_base_._tnt_undecayed)
