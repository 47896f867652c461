"""``croco-stereo_vit-tiny_synthetic-stereo.py`` from random weights: what pre-training is compared with."""

_base_ = ["./croco-stereo_vit-tiny_synthetic-stereo.py"]

model = dict(network=dict(init_cfg=None))
