"""ViDT+ with Swin-nano and 300 tokens, 50 epochs of COCO on 8 GPUs with 2 images each: AP 45.3.

As the paper reports (arXiv 2204.07962). The body starts from the authors' ImageNet-1k weights of Swin-nano
(release of naver-ai/vidt), to be put into ``checkpoints/swin_nano_patch4_window7_224.pth``. Official weights:
``dense3d convert vidt-coco80 IN OUT``.
"""

_base_ = "./vidt-plus_swin-tiny_8xb2-50e_coco.py"

model = dict(backbone=_base_._nano)
