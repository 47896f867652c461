"""CrossViT-15 with convolutional stems on ImageNet-1k: top-1 82.3 in the paper.

Chen et al., ICCV 2021 (arXiv 2103.14899), at 240 pixels. ``dense3d test`` takes
``crossvit_15_dagger_224.pth`` of IBM/CrossViT as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

model = dict(backbone=dict(type="CrossViT", arch="15_dagger", drop_path_rate=0.1))
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(size=(240, 240))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(size=(240, 240))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
