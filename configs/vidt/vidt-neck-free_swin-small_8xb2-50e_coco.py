"""ViDT without a neck, Swin-small, 50 epochs of COCO on 8 GPUs with 2 images each: AP 41.6 in the paper.

The body alone with two heads (arXiv 2204.07962, ablation). The body starts from Microsoft's
``swin_small_patch4_window7_224.pth``, to be put into ``checkpoints/``.
"""

_base_ = "./vidt_swin-small_8xb2-50e_coco.py"

model = dict(type="dense3d.NeckFreeViDT", backbone=dict(last_merging=False))
