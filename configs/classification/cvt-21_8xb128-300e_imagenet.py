"""CvT-21 on ImageNet-1k: top-1 82.5 in the official repository, there with repeated augmentation.

Wu et al., ICCV 2021 (arXiv 2103.15808). ``dense3d test`` takes ``CvT-21-224x224-IN-1k.pth`` of microsoft/CvT
as it is.
"""

_base_ = ["cvt-13_8xb128-300e_imagenet.py"]

model = dict(backbone=dict(arch="21"))
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
