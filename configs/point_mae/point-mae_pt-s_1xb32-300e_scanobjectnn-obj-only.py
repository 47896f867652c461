"""Point-MAE on ScanObjectNN, objects alone (OBJ_ONLY), as published: 88.29 accuracy."""

_base_ = ["./point-mae_pt-s_1xb32-300e_scanobjectnn-obj-bg.py"]

train_dataloader = dict(dataset=dict(variant="OBJ_ONLY"))
val_dataloader = dict(dataset=dict(variant="OBJ_ONLY"))
test_dataloader = dict(dataset=dict(variant="OBJ_ONLY"))
