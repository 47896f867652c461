"""Cityscapes, crops of 1024 x 1024 of images at 0.5 to 2 times their size (19 classes)."""

_base_ = "mmseg::_base_/datasets/cityscapes_1024x1024.py"

train_dataloader = dict(batch_size=1)
