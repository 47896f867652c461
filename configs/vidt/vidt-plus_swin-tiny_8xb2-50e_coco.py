"""ViDT+ with Swin-tiny and 300 tokens, 50 epochs of COCO on 8 GPUs with 2 images each: AP 49.7, mask AP 39.5.

As the paper reports (arXiv 2204.07962). The body starts from Microsoft's
``swin_tiny_patch4_window7_224.pth``, to be put into ``checkpoints/``. Official weights: ``dense3d convert
vidt-coco80 IN OUT``.
"""

_base_ = [
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/vidt_50e.py",
    "../_base_/models/vidt.py",
]

model = dict(
    backbone=dict(num_det_tokens=300),
    data_preprocessor=dict(pad_mask=True),
    **_base_._plus,
)
