"""Ablation: Relation-DETR with a ResNet-50, with focal loss in place of varifocal loss."""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

model = dict(criterion=dict(class_loss="focal"))
