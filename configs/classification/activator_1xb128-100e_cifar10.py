"""Activator on CIFAR-10, the network of the authors' experiment: nothing in it mixes patches.

arXiv 2405.15953. The authors train by Adam without augmentation and with dropout; here it is the schedule of
the other configs for small images, without mixing.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/cifar10_32.py",
    "../_base_/schedules/small_images_100e.py",
]

model = dict(
    data_preprocessor=dict(_delete_=True, **_base_._preprocessor),
    num_classes=10,
    label_smoothing=0.0,
    backbone=dict(type="Activator"),
)
