"""CroCo v1 pre-training: ViT-B encoder, small decoder, fixed positions, 256 pairs a step, 400 epochs.

Weinzaepfel et al., "CroCo", NeurIPS 2022, and the official code's settings: learning rate 1.5e-4 for 256
pairs, 40 epochs of warm-up, a half cosine laid out for 800 epochs, mixed precision. The pairs are rendered in
the Habitat simulator; any other list of pairs serves as well.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/croco.py",
    "../_base_/datasets/cross_view_224.py",
    "../_base_/schedules/croco_pretrain.py",
]

model = dict(network=dict(pos_embed="cosine", img_size=224))

max_epochs, warmup_epochs, epochs_of_cosine = 400, 40, 800
train_cfg = dict(max_epochs=max_epochs, val_interval=20)
optim_wrapper = dict(type="AmpOptimWrapper", dtype="float16", loss_scale="dynamic")
param_scheduler = [
    dict(
        type="LinearLR", start_factor=1e-6, by_epoch=True, begin=0, end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type="CosineAnnealingLR", by_epoch=True, begin=warmup_epochs, end=epochs_of_cosine,
        T_max=epochs_of_cosine - warmup_epochs, eta_min=0.0, convert_to_iter_based=True,
    ),
]  # fmt: skip
default_hooks = dict(checkpoint=dict(interval=20))
