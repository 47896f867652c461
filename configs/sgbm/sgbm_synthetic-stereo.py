"""Semi-global matching on the held-out synthetic pairs that the small CroCo-Stereo is tested on.

``none`` takes the place of the checkpoint: ``dense3d test sgbm_synthetic-stereo none``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

data_root = "data/synthetic/stereo_320x160/"
synthetic_data = dict(root=data_root, layouts=("stereo",), train=600, val=60, size=(320, 160), seed=0)
model = dict(disparities=96)
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="SyntheticStereo",
        data_root=data_root,
        split="val",
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_evaluator = dict(
    type="DisparityMetric", protocol="disparity", regions=dict(textureless=data_root + "val/textureless")
)
