"""ADE20K, crops of 512 x 512 (150 classes, without the background)."""

_base_ = "mmseg::_base_/datasets/ade20k.py"

train_dataloader = dict(batch_size=2)
