"""Masked scene modelling of the large HUNet on ScanNet, without labels.

The network is the released one. The recipe (masks, augmentation, optimiser, length) is not published and is
decided here, see docs/msm.md: results of this config are not the authors'.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/hunet_large.py",
    "../_base_/datasets/scannet.py",
    "../_base_/schedules/msm.py",
]

model = dict(type="MaskedSceneModeling", mask_ratio=(0.4, 0.6), momentum=0.996)
train_dataloader = dict(dataset=dict(pipeline={{_base_.views_pipeline}}))
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator
custom_hooks = [dict(type="TeacherHook")]
default_hooks = dict(checkpoint=dict(interval=50))
