"""Semi-global matching on the held-out synthetic pairs of the small CCNeXt, as disparity and as depth.

``dense3d test sgbm_synthetic-stereo-256x128 none``. Depths are clamped to those of this world, 2 to 80 m, as
what is filled may be infinitely far.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

data_root = "data/synthetic/stereo_256x128/"
synthetic_data = dict(root=data_root, layouts=("stereo",), train=600, val=60, size=(256, 128), seed=0)
model = dict(disparities=64)
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
regions = dict(textureless=data_root + "val/textureless")
test_evaluator = [
    dict(type="DepthMetric", protocol=dict(name="none", max_depth=80.0, clamp=(2.0, 80.0)), regions=regions),
    dict(type="DisparityMetric", protocol="disparity", regions=regions),
]
