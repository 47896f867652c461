"""ViDT with Swin-nano that learns the tokens of ViDT with Swin-base, 50 epochs of COCO on 8 GPUs.

Token matching of Song et al., ICLR 2022 (arXiv 2110.03921), section 3.4. The teacher's weights, trained with
``vidt_swin-base_8xb2-50e_coco`` or converted, go into ``checkpoints/vidt_swin-base.pth``.
"""

_base_ = "./vidt_swin-nano_8xb2-50e_coco.py"

model = dict(
    teacher=dict(
        config="vidt_swin-base_8xb2-50e_coco", checkpoint="checkpoints/vidt_swin-base.pth", weight=4.0
    )
)
