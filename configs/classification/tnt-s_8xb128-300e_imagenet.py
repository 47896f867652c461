"""TNT-S on ImageNet-1k: top-1 81.5 in the official repository, there with repeated augmentation.

Han et al., NeurIPS 2021 (arXiv 2103.00112). ``dense3d test`` takes ``tnt_s_81.5.pth.tar`` of
huawei-noah/Efficient-AI-Backbones as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

_inception = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(data_preprocessor=_inception, backbone=dict(type="TNT", arch="small", drop_path_rate=0.1))
