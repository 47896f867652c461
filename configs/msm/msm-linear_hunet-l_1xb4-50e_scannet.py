"""A linear layer on frozen features of masked scene modelling: ScanNet, 20 classes. The paper has 68.7 mIoU.

Rates and epochs are not published and are decided here.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/scannet.py",
    "../_base_/schedules/msm_linear.py",
    "../_base_/models/scene_segmenter.py",
]
default_hooks = dict(checkpoint=dict(interval=10, save_best="scene/miou", rule="greater"))
