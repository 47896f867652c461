"""The supernet of the search space of ViT-ResNAS-Small and -Medium, as that of Tiny is trained."""

_base_ = "vit-resnas-super-t_8xb128-120e_imagenet.py"

model = dict(backbone=dict(space="small", drop_path_rate=0.3))
