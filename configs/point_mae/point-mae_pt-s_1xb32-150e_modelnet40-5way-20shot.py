"""Point-MAE on five-way twenty-shot ModelNet40 as published: 97.8 accuracy, ± 1.8 over ten folds."""

_base_ = ["./point-mae_pt-s_1xb32-150e_modelnet40-5way-10shot.py"]

train_dataloader = dict(dataset=dict(way=5, shot=20))
val_dataloader = dict(dataset=dict(way=5, shot=20))
test_dataloader = dict(dataset=dict(way=5, shot=20))
