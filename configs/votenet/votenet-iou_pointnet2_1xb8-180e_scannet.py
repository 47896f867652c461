"""VoteNet with a loss of the overlap of boxes along the axes, and without padding that can be matched."""

_base_ = ["./votenet_pointnet2_1xb8-180e_scannet.py"]

model = dict(criterion=dict(match_padding=False, iou="iou"))
