"""Point-MAE on ModelNet40 with 8192 points as published: 94.04 accuracy, the maximum of 299 votes."""

_base_ = ["./point-mae_pt-s_1xb32-300e_modelnet40-1k.py"]

model = dict(backbone=dict(num_groups=512), sampling=dict(num_points=8192))
