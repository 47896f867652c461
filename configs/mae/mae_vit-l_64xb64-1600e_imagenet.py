"""MAE pre-training of ViT-L/16 as published: see ``mae_vit-b_64xb64-1600e_imagenet.py``."""

_base_ = "./mae_vit-b_64xb64-1600e_imagenet.py"

model = dict(encoder=dict(arch="mae_large_patch16"))
