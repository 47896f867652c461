"""The small 3DETR on 10 % of the labels, its trunk and encoder from stage two of Gaussian2Scene.

Set ``pretrained`` to a file of stage one for the ablation.
"""

_base_ = ["./threedetr-10pct_pointnet2-tiny_synthetic-rooms.py"]

pretrained = "work_dirs/gaussian2scene-stage2_pointnet2-tiny_synthetic-rooms/iter_600.pth"
_init = dict(type="Pretrained", checkpoint=pretrained)
model = dict(backbone=dict(init_cfg=_init), encoder=dict(init_cfg=_init))
