"""Mask2Former's schedule on COCO: AdamW, 368 750 iterations of 16 images, no warm-up, gradients up to 0.01.

Biases and the pixel decoder's level encoding are decayed; norms, embeddings and Swin's tables are not.
"""

_base_ = "../runtime.py"

max_iters = 368_750
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="AmpOptimWrapper",
    constructor="dense3d.NamePartsOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1),
            "query_embed": dict(decay_mult=0.0),
            "query_feat": dict(decay_mult=0.0),
            "level_embed": dict(decay_mult=0.0),
            "relative_position_bias_table": dict(decay_mult=0.0),
        },
        norm_decay_mult=0.0,
    ),
)
param_scheduler = [
    dict(
        type="MultiStepLR",
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[327_778, 355_092],
        gamma=0.1,
    )
]
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=5000),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=16)
