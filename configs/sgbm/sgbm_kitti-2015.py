"""Semi-global matching on KITTI 2015's training frames, what networks are to be compared with.

``none`` takes the place of the checkpoint: ``dense3d test sgbm_kitti-2015 none``.
"""

_base_ = ["../_base_/runtime.py", "../_base_/datasets/matching_loaders.py", "../_base_/models/sgbm.py"]

test_dataloader = dict(
    **_base_._validation,
    dataset=dict(
        type="KittiStereo",
        data_root="data/kitti_2015",
        benchmark="2015",
        test_mode=True,
        pipeline=_base_._test_pipeline,
    ),
)
test_evaluator = dict(type="DisparityMetric", protocol="kitti-2015")
