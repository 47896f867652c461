"""PyramidTNT-S on ImageNet-1k: top-1 82.0 in the paper.

Han et al., 2022 (arXiv 2201.00978), at 256 pixels. ``dense3d test`` takes the file of
huawei-noah/Efficient-AI-Backbones as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

_inception = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(data_preprocessor=_inception, backbone=dict(type="PyramidTNT", arch="small", drop_path_rate=0.1))
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(size=(256, 256))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(size=(256, 256))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
