"""Mask2Former (semantic) with ConvNeXt-B from ImageNet-22k, 160k iterations of ADE20K.

There is no official recipe for this pairing: that of Swin-B. Weights: ``convnext_base_22k_224.pth``
(release of facebookresearch/ConvNeXt), put into ``checkpoints/``.
"""

_base_ = ["./mask2former_swin-b-22k_8xb2-160k_ade20k-640x640.py", "../_base_/backbones/convnext.py"]

model = dict(backbone=dict(_delete_=True, **_base_._convnext_b_22k, drop_path_rate=0.4))
