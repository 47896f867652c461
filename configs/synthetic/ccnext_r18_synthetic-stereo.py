"""CCNeXt, small and from random weights, on synthetic pairs without labels: minutes on two CPU cores.

The network of https://arxiv.org/abs/2509.22627 on a narrow ResNet-18: pairs of 256 x 128 pixels, 96
channels at stride 32, the ResNet's own map of stride 2 instead of a new stem, maps of inverse depth at two
scales. Three things are not of the paper, since from random weights and in minutes its loss alone finds no
matches: rows are also matched by the similarity of features (``encoder.matching``), whose probabilities are
trained to paint the other image (``matching_loss``); reprojections are compared in smaller images too
(``image_levels``); and mirrored images change places, so that matches always lie to the left. Depth is in
metres, as the nominal baseline is the rig's; the nearest surface of this world is 2 m away. Images are
sampled where the geometry says (``exact_sampling``): the official convention reads up to half a pixel
beside, which matters at disparities of a few pixels.
"""

_base_ = ["../_base_/runtime.py"]

data_root = "data/synthetic/stereo_256x128/"
# Read before training: arguments of dense3d.datasets.synthetic.ensure_dataset.
synthetic_data = dict(root=data_root, layouts=("stereo",), train=600, val=60, size=(256, 128), seed=0)

model = dict(
    type="CCNeXt",
    data_preprocessor=dict(type="StereoDataPreprocessor", mean=0, std=255, pad_divisor=32),
    backbone=dict(
        type="TimmBackbone",
        model_name="resnet18",
        model_kwargs=dict(stem_type="deep", stem_width=8, channels=(24, 32, 64, 96)),
    ),
    encoder=dict(stem="own", window_size=0.26, matching=dict(max_disparity=64)),
    decoder=dict(dual=False, channels=(8, 16, 32, 48, 64), scales=(0, 2)),
    loss=dict(
        smooth_weight=3e-3, auto_mask=False, exact_sampling=True, image_levels=(0, 2, 3), skip_hidden=True
    ),
    min_depth=2.0,
    max_depth=100.0,
    nominal_baseline=0.54,
    trained_focal=192.0,
)

train_pipeline = [
    dict(type="LoadStereo", with_truth=False),
    dict(type="StereoFlip", prob=0.5, exchange=True),
    dict(type="StereoColorJitter", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, prob=0.5),
    dict(type="PackStereoInputs"),
]
test_pipeline = [dict(type="LoadStereo"), dict(type="PackStereoInputs")]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="SyntheticStereo", data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticStereo", data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
regions = dict(textureless=data_root + "val/textureless")
val_evaluator = [
    dict(type="DepthMetric", protocol=dict(name="none", max_depth=80.0), regions=regions),
    dict(type="DisparityMetric", protocol="disparity", regions=regions),
]
test_evaluator = val_evaluator

max_iters = 1850
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=925)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=2e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=925))
log_processor = dict(by_epoch=False)
