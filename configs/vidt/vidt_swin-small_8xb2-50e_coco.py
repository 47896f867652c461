"""ViDT with Swin-small, 50 epochs of COCO on 8 GPUs with 2 images each: AP 47.4 in the paper.

Song et al., ICLR 2022 (arXiv 2110.03921). The body starts from Microsoft's
``swin_small_patch4_window7_224.pth``, to be put into ``checkpoints/``. Official weights: ``dense3d convert
vidt-coco80 IN OUT``.
"""

_base_ = "./vidt_swin-tiny_8xb2-50e_coco.py"

model = dict(backbone=_base_._small)
