"""CroCo-Stereo for ETH3D: the main model with unbounded scales, and tiles weighed by exp(-3 c).

Training is that of ``croco-stereo_vitl-base_1xb6-32e_stereo-mix.py``, which sees the 27 pairs that the test
here is on; those of the benchmark have no public ground truth.
"""

_base_ = ["./croco-stereo_vitl-base_1xb6-32e_stereo-mix.py"]

model = dict(
    loss=dict(_delete_=True, type="LaplacianLoss"),
    test_cfg=dict(overlap=0.9, tile_conf_mode="conf_expbeta3"),
)
_dataset = dict(type="Eth3d", data_root="data/eth3d", test_mode=True, pipeline=_base_._test_pipeline)
val_dataloader = dict(dataset=dict(_delete_=True, **_dataset))
test_dataloader = val_dataloader
val_evaluator = dict(protocol="eth3d")
test_evaluator = val_evaluator
