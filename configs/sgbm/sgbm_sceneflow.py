"""Semi-global matching on FlyingThings3D's test frames, final pass.

``none`` takes the place of the checkpoint: ``dense3d test sgbm_sceneflow none``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

test_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="SceneFlow",
        data_root="data/sceneflow/FlyingThings3D",
        passes=("final",),
        only=["TEST/*"],
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_evaluator = dict(type="DisparityMetric", protocol="sceneflow")
