"""Semi-global matching on ETH3D's 27 training pairs.

``none`` takes the place of the checkpoint: ``dense3d test sgbm_eth3d none``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

model = dict(disparities=64)
test_dataloader = dict(
    **_base_._validation,
    dataset=dict(type="Eth3d", data_root="data/eth3d", test_mode=True, pipeline=_base_._test_pipeline),
)
test_evaluator = dict(type="DisparityMetric", protocol="eth3d")
