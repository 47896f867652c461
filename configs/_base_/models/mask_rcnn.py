"""Mask R-CNN with a feature pyramid network, for any backbone of four maps."""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

model = dict(neck=dict(in_channels="backbone"))
