"""MAE pre-training of ViT-H/14 as published: see ``mae_vit-b_64xb64-1600e_imagenet.py``."""

_base_ = "./mae_vit-b_64xb64-1600e_imagenet.py"

model = dict(encoder=dict(arch="mae_huge_patch14"))
