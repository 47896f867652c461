"""ConvNeXt-T on ImageNet-1k: top-1 82.1 in the official repository.

Liu et al., CVPR 2022 (arXiv 2201.03545): batches of 4096 images at a rate of 4e-3 there, here 1024 images at
a quarter of it, and averaged weights. ``dense3d test`` takes ``convnext_tiny_1k_224_ema.pth`` of
facebookresearch/ConvNeXt as it is.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/image_classifier.py",
    "../_base_/datasets/imagenet_224.py",
    "../_base_/schedules/imagenet_300e.py",
]

# a layer scale of 1e-6 at the start, and a crop of 0.875 of the image in tests
model = dict(backbone=dict(type="ConvNeXt", arch="tiny", layer_scale=1e-6, drop_path_rate=0.1))
optim_wrapper = dict(clip_grad=None)
custom_hooks = [dict(type="EMAHook", momentum=1e-4)]
