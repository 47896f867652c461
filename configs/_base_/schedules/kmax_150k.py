"""kMaX-DeepLab's schedule: AdamW, linear warm-up of 5000 iterations, polynomial decay from the first one on.

Official: the warm-up alone first and the decay from its end on; here both act from the start, so that the
rates of the warm-up are up to 3 % smaller and all later ones the same.
"""

_base_ = "../runtime.py"

sync_bn = "torch"  # batch norms learn, over the images of all processes
max_iters = 150_000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# The official rules: no weight decay for norms, biases, position tables, cluster centres.
optim_wrapper = dict(
    type="AmpOptimWrapper",
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "norm": dict(decay_mult=0.0),
            "bn": dict(decay_mult=0.0),
            "bias": dict(decay_mult=0.0),
            "_position": dict(decay_mult=0.0),
            "cluster_centers": dict(decay_mult=0.0),
            # Norms without a name of their own: of a ResNet's shortcuts.
            "downsample.1": dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=5000),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=max_iters),
]
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=5000),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=64)
