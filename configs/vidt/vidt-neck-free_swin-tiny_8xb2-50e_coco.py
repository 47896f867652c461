"""ViDT without a neck, Swin-tiny, 50 epochs of COCO on 8 GPUs with 2 images each: AP 36.3 in the paper.

The body alone with two heads (arXiv 2204.07962, ablation). The body starts from Microsoft's
``swin_tiny_patch4_window7_224.pth``, to be put into ``checkpoints/``.
"""

_base_ = "./vidt_swin-tiny_8xb2-50e_coco.py"

model = dict(type="dense3d.NeckFreeViDT", backbone=dict(last_merging=False))
