"""ViDT's schedule: AdamW, one learning rate for all, half a cosine over 50 epochs, 16 images an iteration.

Of the body, vectors, biases and [DET] tokens are not decayed; of the decoder and its heads everything is.
"""

_base_ = "../runtime.py"

max_epochs = 50
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "backbone.*.bias": dict(decay_mult=0.0),
            "backbone.*norm*.weight": dict(decay_mult=0.0),
            "backbone.det_token": dict(decay_mult=0.0),
            "backbone.det_pos_embed": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, eta_min=1e-7)
]
auto_scale_lr = dict(base_batch_size=16)
