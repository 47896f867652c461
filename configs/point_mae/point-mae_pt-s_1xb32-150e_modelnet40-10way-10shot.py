"""Point-MAE on ten-way ten-shot ModelNet40 as published: 92.6 accuracy, ± 4.1 over ten folds."""

_base_ = ["./point-mae_pt-s_1xb32-150e_modelnet40-5way-10shot.py"]

train_dataloader = dict(dataset=dict(way=10, shot=10))
val_dataloader = dict(dataset=dict(way=10, shot=10))
test_dataloader = dict(dataset=dict(way=10, shot=10))
