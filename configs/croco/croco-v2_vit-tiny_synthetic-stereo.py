"""CroCo pre-training of a small network on synthetic stereo pairs without labels: minutes on two cores.

Crops of 112 x 112 from elsewhere in each image of a pair.
"""

_base_ = ["../_base_/runtime.py", "../_base_/models/croco_tiny.py"]

data_root = "data/synthetic/stereo_320x160/"
synthetic_data = dict(root=data_root, layouts=("stereo",), train=600, val=60, size=(320, 160), seed=0)

train_pipeline = [
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=112, window=160),
    dict(type="CrossViewColor", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0),
    dict(type="PackStereoInputs"),
]
test_pipeline = [
    dict(type="LoadCrossViews"),
    dict(type="CrossViewCrop", size=112, window=112, random=False),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticStereo", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticStereo", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ReconstructionError")
test_evaluator = val_evaluator

max_iters = 400
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=0.0),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
