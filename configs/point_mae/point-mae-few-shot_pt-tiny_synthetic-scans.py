"""Five-way ten-shot classification of scans of families that the small Point-MAE has not seen, on a CPU.

As ``point-mae-few-shot_pt-tiny_synthetic-shapes.py``, whose whole and clean objects random weights learn to
tell apart as well: these are seen from one side, with noise, floor and clutter. Run
``point-mae_pt-tiny_synthetic-scans.py`` first.
"""

_base_ = ["./point-mae-few-shot_pt-tiny_synthetic-shapes.py"]

data_root = "data/synthetic/scans_1024/"
synthetic_data = dict(root=data_root, scan=True)
pretrained = "work_dirs/point-mae_pt-tiny_synthetic-scans/iter_2000.pth"
model = dict(backbone=dict(init_cfg=dict(checkpoint=pretrained)))
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
test_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
