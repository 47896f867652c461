"""ViDT+ with Swin-small and 300 tokens, 50 epochs of COCO on 8 GPUs with 2 images: AP 51.2, mask AP 40.8.

As the paper reports (arXiv 2204.07962). The body starts from Microsoft's
``swin_small_patch4_window7_224.pth``, to be put into ``checkpoints/``. Official weights: ``dense3d convert
vidt-coco80 IN OUT``.
"""

_base_ = "./vidt-plus_swin-tiny_8xb2-50e_coco.py"

model = dict(backbone=_base_._small)
