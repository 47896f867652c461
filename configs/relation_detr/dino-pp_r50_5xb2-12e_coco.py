"""DINO++, the baseline inside of the official Relation-DETR code, with the relation and nothing else added.

DINO with separate heads for each layer and focal loss; no hybrid queries, no memory fusion, no scale of the
queries' position. ``model.relation=None`` gives the DINO below it.
"""

_base_ = "./relation-detr_r50_5xb2-12e_coco.py"

model = dict(hybrid=None, memory_fusion=False, query_scale=False, criterion=dict(class_loss="focal"))
