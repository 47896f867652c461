"""Point-MAE on ModelNet40 with 1024 points as published: 93.80 accuracy, the maximum of 299 votes.

``model.voting=dict(repeats=299)`` and ``official_maximum=True`` of the metric vote as the official code does.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/point_classifier.py",
    "../_base_/datasets/modelnet40.py",
    "../_base_/schedules/point_mae_300e.py",
]

default_hooks = dict(checkpoint=dict(save_best="point/overall_accuracy", rule="greater"))
