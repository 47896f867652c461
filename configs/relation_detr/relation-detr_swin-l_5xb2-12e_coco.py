"""Relation-DETR, 4 scales, Swin-L, 12 epochs of COCO on 5 GPUs with 2 images each (arXiv 2407.11699).

The paper reports box AP 57.8.

The backbone starts from Microsoft's ImageNet-22k weights ``swin_large_patch4_window7_224_22k.pth`` (release
of microsoft/Swin-Transformer), to be put into ``checkpoints/``. Official weights:
``dense3d convert``.
"""

_base_ = ["./relation-detr_r50_5xb2-12e_coco.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_._swin_l_22k,
        window_size=7,
        shift_small_maps=False,
        output_norm=False,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        with_cp=True,
    ),
)
