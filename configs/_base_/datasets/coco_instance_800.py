"""COCO boxes and masks at one scale: short sides of 800 pixels, long ones at most 1333, mirrored or not."""

_base_ = "mmdet::_base_/datasets/coco_instance.py"

train_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
val_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
test_dataloader = dict(dataset=dict(type="dense3d.CocoDataset"))
