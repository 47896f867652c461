"""ViDT with Swin-nano, 50 epochs of COCO on 8 GPUs with 2 images each: AP 40.4 in the paper.

Song et al., ICLR 2022 (arXiv 2110.03921). The body starts from the authors' ImageNet-1k weights of Swin-nano
(release of naver-ai/vidt), to be put into ``checkpoints/swin_nano_patch4_window7_224.pth``. Official weights:
``dense3d convert vidt-coco80 IN OUT``.
"""

_base_ = "./vidt_swin-tiny_8xb2-50e_coco.py"

model = dict(backbone=_base_._nano)
