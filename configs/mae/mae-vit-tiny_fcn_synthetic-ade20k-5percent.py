"""Segmentation with 5 % of the labels, from a ViT that MAE pre-trained on the images alone.

Run ``mae_vit-tiny_synthetic.py`` first; ``vit-tiny_fcn_synthetic-ade20k-5percent.py`` is the same from random
weights. The table of positions is not trained, see there.
"""

_base_ = ["./vit-tiny_fcn_synthetic-ade20k-5percent.py"]

pretrained = "work_dirs/mae_vit-tiny_synthetic/iter_500.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=pretrained)))
