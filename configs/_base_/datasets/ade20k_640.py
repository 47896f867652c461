"""ADE20K, crops of 640 x 640 (150 classes, without the background)."""

_base_ = "mmseg::_base_/datasets/ade20k_640x640.py"

train_dataloader = dict(batch_size=2)
