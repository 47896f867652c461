"""A small CroCo-Stereo on synthetic pairs, from its own pre-training on them: minutes on two cores.

Run ``croco-v2_vit-tiny_synthetic-stereo.py`` first, or give ``model.network.init_cfg=None`` to start from
random weights. Crops of 64 x 288, 2000 steps of four crops. So that a small network learns in so short a
time, its outputs are in units of 16 pixels (``target_scale``), AdamW's learning rate is 1e-3 for all parts,
which a large pre-trained one does not stand, and the tokens are told which cells of both images' rows look
alike (``matching``), which the paper's networks find out by themselves. Semi-global matching, filled from the
left, is what its end-point error is to be compared with.
"""

_base_ = ["../_base_/runtime.py"]

data_root = "data/synthetic/stereo_320x160/"
synthetic_data = dict(root=data_root, layouts=("stereo",), train=600, val=60, size=(320, 160), seed=0)

crop = (64, 288)
model = dict(
    type="CrocoStereo",
    data_preprocessor=dict(
        type="StereoDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    network=dict(
        patch_size=16,
        pos_embed="RoPE100",
        enc_embed_dim=128,
        enc_depth=4,
        enc_num_heads=4,
        dec_embed_dim=128,
        dec_depth=4,
        dec_num_heads=4,
        init_cfg=dict(
            type="Pretrained", checkpoint="work_dirs/croco-v2_vit-tiny_synthetic-stereo/iter_400.pth"
        ),
    ),
    hooks=(3, 5, 6, 7),
    head=dict(hidden_channels=(32, 48, 64, 96), channels=32, last_channels=16),
    loss=dict(type="LaplacianLossBounded2"),
    crop_size=crop,
    target_scale=16.0,
    matching=dict(max_disparity=96),
    test_cfg=dict(mode="tiles", overlap=0.5, tile_batch_size=8),
)

train_pipeline = [
    dict(type="LoadStereo"),
    dict(type="RandomCropStereo", size=crop),
    dict(type="StereoFlip", prob=0.5, direction="vertical"),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticStereo", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticStereo",
        data_root=data_root,
        split="val",
        test_mode=True,
        pipeline=[dict(type="LoadStereo"), dict(type="PackStereoInputs")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DisparityMetric", protocol="disparity")
test_evaluator = val_evaluator

max_iters = 2000
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type="CosineAnnealingLR", by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50, eta_min=0.0
    ),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
