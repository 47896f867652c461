"""Co-DINO, 5 scales, Swin-L from ImageNet-22k at 384 pixels, 12 epochs of COCO on 16 GPUs with 1 image each.

58.9 box AP officially (arXiv 2211.12860). The weights of microsoft/Swin-Transformer,
``swin_large_patch4_window12_384_22k.pth``, go into ``checkpoints/`` by ``dense3d convert swin``.
"""

_base_ = ["./co-dino_r50_5scale_8xb2-12e_coco.py", "../_base_/backbones/swin.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_._swin_l_22k_384, drop_path_rate=0.3, with_cp=True),
    encoder=dict(num_cp=6),
)
train_dataloader = dict(batch_size=1)
