"""Point-MAE on ScanObjectNN, its hardest variant (PB_T50_RS), as published: 85.18 accuracy."""

_base_ = ["./point-mae_pt-s_1xb32-300e_scanobjectnn-obj-bg.py"]

train_dataloader = dict(dataset=dict(variant="PB_T50_RS"))
val_dataloader = dict(dataset=dict(variant="PB_T50_RS"))
test_dataloader = dict(dataset=dict(variant="PB_T50_RS"))
