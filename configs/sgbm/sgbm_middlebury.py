"""Semi-global matching on Middlebury's third evaluation at a quarter of the width.

``none`` takes the place of the checkpoint: ``dense3d test sgbm_middlebury none``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

test_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="Middlebury",
        data_root="data/middlebury/MiddEval3/trainingQ",
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_evaluator = dict(type="DisparityMetric", protocol="middlebury")
