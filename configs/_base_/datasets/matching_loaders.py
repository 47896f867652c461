"""What loaders of image pairs for stereo and flow share."""

_training = dict(
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
)
_validation = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
_test_pipeline = [dict(type="LoadStereo"), dict(type="PackStereoInputs")]
