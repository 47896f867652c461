"""Ablation: Relation-DETR with a ResNet-50, everything but the position relation."""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

model = dict(relation=None)
