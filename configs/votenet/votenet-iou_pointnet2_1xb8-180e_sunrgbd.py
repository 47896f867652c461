"""VoteNet with a loss of the overlap of oriented boxes, and without padding that can be matched."""

_base_ = ["./votenet_pointnet2_1xb8-180e_sunrgbd.py"]

model = dict(criterion=dict(match_padding=False, iou="iou"))
