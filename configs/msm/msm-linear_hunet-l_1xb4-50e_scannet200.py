"""A linear layer on frozen features of masked scene modelling: ScanNet200. The paper has 26.8 mIoU.

Labels are read from Pointcept's folders. Rates and epochs are not published and are decided here.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/datasets/scannet.py",
    "../_base_/schedules/msm_linear.py",
    "../_base_/models/scene_segmenter.py",
]

model = dict(num_classes=200)
_data = dict(layout="pointcept", num_classes=200)
train_dataloader = dict(dataset=_data)
val_dataloader = dict(dataset=_data)
test_dataloader = dict(dataset=_data)
default_hooks = dict(checkpoint=dict(interval=10, save_best="scene/miou", rule="greater"))
