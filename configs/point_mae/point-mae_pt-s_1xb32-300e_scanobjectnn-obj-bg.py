"""Point-MAE on ScanObjectNN, objects with background (OBJ_BG), as published: 90.02 accuracy."""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/point_classifier.py",
    "../_base_/datasets/scanobjectnn.py",
    "../_base_/schedules/point_mae_300e.py",
]

model = dict(backbone=dict(num_groups=128), num_classes=15, sampling=dict(num_points=2048))
default_hooks = dict(checkpoint=dict(save_best="point/overall_accuracy", rule="greater"))
