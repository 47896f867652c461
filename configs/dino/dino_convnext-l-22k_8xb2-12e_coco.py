"""DINO, 4 scales, ConvNeXt-L from ImageNet-22k, 12 epochs of COCO.

The recipe of DINO (arXiv 2203.03605). Weights: ``convnext_large_22k_384.pth`` (release of
facebookresearch/ConvNeXt), put into ``checkpoints/``.
"""

_base_ = ["./dino_r50_8xb2-12e_coco.py", "../_base_/backbones/convnext.py"]

model = dict(
    backbone=dict(
        _delete_=True, **_base_._convnext_l_22k_384, drop_path_rate=0.5, out_indices=(1, 2, 3), with_cp=True
    )
)
