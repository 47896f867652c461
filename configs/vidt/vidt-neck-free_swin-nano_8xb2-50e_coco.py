"""ViDT without a neck, Swin-nano, 50 epochs of COCO on 8 GPUs with 2 images each: AP 28.7 in the paper.

The body alone with two heads (arXiv 2204.07962, ablation). The body starts from the authors' ImageNet-1k
weights of Swin-nano (release of naver-ai/vidt), to be put into
``checkpoints/swin_nano_patch4_window7_224.pth``.
"""

_base_ = "./vidt_swin-nano_8xb2-50e_coco.py"

model = dict(type="dense3d.NeckFreeViDT", backbone=dict(last_merging=False))
