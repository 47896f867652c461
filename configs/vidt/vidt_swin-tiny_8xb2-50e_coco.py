"""ViDT with Swin-tiny, 50 epochs of COCO on 8 GPUs with 2 images each: AP 44.9 in the paper.

Song et al., ICLR 2022 (arXiv 2110.03921). The body starts from Microsoft's
``swin_tiny_patch4_window7_224.pth``, to be put into ``checkpoints/``. Official weights: ``dense3d convert
vidt-coco80 IN OUT``.
"""

_base_ = [
    "../_base_/datasets/coco_detection_detr.py",
    "../_base_/schedules/vidt_50e.py",
    "../_base_/models/vidt.py",
]
