"""CroCo v2 pre-training with a ViT-B encoder and the small decoder: 256 pairs a step, 125 epochs.

Weinzaepfel et al., "CroCo v2", ICCV 2023, and the official code's settings: learning rate 1.5e-4 for 256
pairs, 12 epochs of warm-up, a half cosine laid out for 250 epochs, single precision. With another number of
pairs a step, set ``optim_wrapper.optimizer.lr`` to 1.5e-4 * pairs / 256.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/croco.py",
    "../_base_/datasets/cross_view_224.py",
    "../_base_/schedules/croco_pretrain.py",
]

default_hooks = dict(checkpoint=dict(interval=5))
