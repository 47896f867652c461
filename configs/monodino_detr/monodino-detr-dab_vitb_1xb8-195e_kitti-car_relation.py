"""MonoDINO-DETR + DAB on KITTI's cars, whose queries see how their 2D boxes relate (arXiv 2407.11699)."""

_base_ = ["./monodino-detr-dab_vitb_1xb8-195e_kitti-car.py"]

model = dict(
    relation=dict(type="PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0)
)
