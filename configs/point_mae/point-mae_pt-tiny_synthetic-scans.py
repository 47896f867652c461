"""Point-MAE pre-training of a small network on scans of 12 families of synthetic objects, on a CPU.

The objects are seen from one side, with noise, and with points of the floor and of what is around them. The
other nine families are for ``point-mae-few-shot_pt-tiny_synthetic-scans.py``.
"""

_base_ = ["./point-mae_pt-tiny_synthetic-shapes.py"]

data_root = "data/synthetic/scans_1024/"
synthetic_data = dict(root=data_root, scan=True)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
