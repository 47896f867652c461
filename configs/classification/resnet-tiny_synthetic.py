"""A narrow ResNet-18 from random weights on synthetic images of ten solids: minutes on CPU cores.

``--cfg-options model.backbone="dict(_delete_=True, type='Swin', ...)"`` puts another backbone in its place.
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
    backbone=dict(type="TimmBackbone", model_name="resnet18", model_kwargs=dict(channels=(16, 24, 48, 64))),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=600))
log_processor = dict(by_epoch=False)
