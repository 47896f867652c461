"""DINO, 4 scales, ResNet-50, 12 epochs of COCO, with the position relation (arXiv 2407.11699)."""

_base_ = "../dino/dino_r50_8xb2-12e_coco.py"

model = dict(
    type="dense3d.RelationDINO",
    relation=dict(
        type="dense3d.PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0
    ),
)
