"""MonoDETR on KITTI's cars, whose queries see how their 2D boxes relate (Relation-DETR, arXiv 2407.11699)."""

_base_ = ["./monodetr_r50_1xb16-195e_kitti-car.py"]

model = dict(
    relation=dict(type="PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0)
)
