"""Semantic segmentation of synthetic close-ups in ADE20K's layout, rendered on first use (a minute or two).

Rooms with one to three large things, 64 x 64 pixels: many small images teach more in the same time than few
larger ones.
"""

_base_ = ["./synthetic_ade20k.py"]

data_root = "data/synthetic/ade20k_close-up_64x64/"
size = (64, 64)
synthetic_data = dict(
    root=data_root, layouts=("ade20k",), train=6000, val=300, size=size, seed=0, scenes="close_up"
)
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.Resize", scale=size, keep_ratio=True),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.PackSegInputs"),
]
train_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=50, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
