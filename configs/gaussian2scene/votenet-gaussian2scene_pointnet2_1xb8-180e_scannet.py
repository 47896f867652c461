"""VoteNet on ScanNet from the trunk that Gaussian2Scene pre-trained in its place."""

_base_ = ["../votenet/votenet_pointnet2_1xb8-180e_scannet.py"]

pretrained = "work_dirs/gaussian2scene-stage2_pointnet2_1xb8-100e_scannet/epoch_100.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=pretrained)))
