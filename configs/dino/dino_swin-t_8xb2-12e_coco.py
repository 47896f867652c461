"""DINO, 4 scales, Swin-T, 12 epochs of COCO.

The recipe of DINO (arXiv 2203.03605) with the backbone of microsoft/Swin-Transformer, whose weights
``swin_tiny_patch4_window7_224.pth`` go into ``checkpoints/``.
"""

_base_ = ["./dino_r50_8xb2-12e_coco.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_t, window_size=7, drop_path_rate=0.2, out_indices=(1, 2, 3))
)
