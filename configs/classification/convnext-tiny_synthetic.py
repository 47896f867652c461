"""A small ConvNeXt from random weights on synthetic images of ten solids: minutes on CPU cores.

``model.backbone`` may be any other: ``--cfg-options model.backbone.type=...``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/synthetic_classes.py",
    "../_base_/schedules/classifier_tiny.py",
]

model = dict(
    data_preprocessor=dict(_delete_=True, **_base_._preprocessor),
    num_classes=10,
    label_smoothing=0.05,
    backbone=dict(type="ConvNeXt", arch=dict(dims=(24, 48, 96, 128), depths=(1, 1, 2, 1)), patch_size=2),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=900))
log_processor = dict(by_epoch=False)
